// What people read when they log in elsewhere with V Pass: [Chinese, English].

export const LOGIN = {
  // The page in the browser
  "login.title": ["用 V Pass 登录", "Log in with V Pass"],
  "login.to": ["登录 {who}", "Log in to {who}"],
  "login.scan": [
    "请用手机相机扫描，在 V Pass 中核对后确认。",
    "Scan this with your phone's camera, then check and approve in V Pass.",
  ],
  "login.qr_label": ["登录二维码", "QR code to log in"],
  "login.number": ["在手机上输入这个数字：", "Enter this number on the phone:"],
  "login.here": ["V Pass 就在本机", "V Pass is on this device"],
  "login.left": ["还有 {s} 秒", "{s} seconds left"],
  "login.leaving": ["正在返回…", "Going back…"],
  "login.leaving_text": ["请稍候。", "One moment."],
  "login.failed": ["无法登录", "Cannot log in"],
  "login.failed_text": [
    "请关闭本页，回到原网站重新登录。",
    "Close this page, go back to the site you came from and try again.",
  ],
  "logout.title": ["退出登录", "Log out"],
  "logout.leaving": ["正在退出…", "Logging out…"],
  "logout.done": ["已退出登录", "You are logged out"],
  "logout.done_text": ["可以关闭本页。", "You may close this page."],
  "logout.failed": ["无法退出", "Cannot log out"],

  // The sheet on the phone
  "login.ask": ["登录此网站？", "Log in to this site?"],
  "login.warn": [
    "只有您本人刚刚打开了该网页才可同意。不要替别人输入数字。",
    "Agree only if you have just opened that page yourself. Never enter a number for somebody else.",
  ],
  "login.level": ["所需认证级别", "Level needed"],
  "login.no_fields": ["仅确认是同一个人", "Only that you are the same person"],
  "login.enter": ["网页上显示的两位数字", "The two digits on the page"],
  "login.number_missing": ["请输入网页上的两位数字", "Enter the two digits that the page shows"],
  "login.yes": ["签名并登录", "Sign and log in"],
  "login.no": ["拒绝", "Refuse"],
  "login.phone.approved": ["已登录 {who}", "Logged in to {who}"],
  "login.phone.refused": ["已拒绝登录 {who}", "Refused to log in to {who}"],
  "login.phone.login.over": ["该登录请求已失效", "This login is over"],
  "login.phone.login.number_wrong": ["数字不符，登录已拒绝", "Wrong number; the login was refused"],
  "login.phone.caller.level_too_low": [
    "您的认证级别不够，未能登录",
    "Your level is too low for this login",
  ],

  // The list on the phone
  "login.link": ["登录的网站", "Where you are logged in"],
  "login.link_text": ["查看并结束用 V Pass 登录的网站。", "See and end logins made with V Pass."],
  "login.none": ["还没有", "Nothing yet"],
  "login.end": ["立即退出", "End it now"],
  "login.state.asked": ["等待确认", "Waiting"],
  "login.state.approved": ["已同意", "Approved"],
  "login.state.signed_in": ["已登录", "Logged in"],
  "login.state.refused": ["已拒绝", "Refused"],
  "login.state.unmet": ["级别不够", "Level too low"],
  "login.state.expired": ["已过期", "Out of time"],
  "login.state.lapsed": ["已到期", "Ended by time"],
  "login.state.withdrawn": ["已由您结束", "Ended by you"],
  "login.state.ended": ["已退出", "Logged out"],
  "login.state.reused": ["因令牌被重复使用而结束", "Ended: a token was used twice"],

  // In the access log
  "scene.login": ["网站登录", "Web login"],
  "why.login.refused": ["您拒绝了登录", "You refused to log in"],
  "why.login.number_wrong": ["数字不符", "The number was wrong"],
  "why.caller.level_too_low": ["认证级别不够", "The level was too low"],

  // The scan the other way round
  "counter.reverse": ["出示二维码，由市民手机签名（高保障）", "Show a code for the phone to sign (high assurance)"],
  "counter.reverse_title": ["请市民用手机相机扫描", "Ask the resident to scan this"],
  "counter.reverse_text": [
    "手机会显示本窗口、事由和信息项，由本人签名。",
    "The phone shows this desk, the purpose and the fields, and the resident signs.",
  ],
  "counter.reverse_qr": ["供市民手机扫描的二维码", "QR code for the resident's phone"],
  "counter.reverse_over": ["已过期，请重新出示。", "Out of time; show a new one."],
  "counter.reverse_close": ["关闭", "Close"],
  "result.assurance": ["保障级别", "Assurance"],
  "result.assurance_high": ["高：手机对本窗口签名", "High: signed by the phone for this desk"],
  "presence.title": ["向此窗口证明身份？", "Prove who you are at this desk?"],
  "presence.warn": [
    "只有您本人正站在该窗口前才可同意。",
    "Agree only if you are standing at that desk yourself.",
  ],
  "presence.yes": ["签名并出示", "Sign and show"],
  "presence.no": ["不出示", "Do not show"],
  "presence.signed": ["已向 {who} 出示", "Shown to {who}"],
  "presence.let_go": ["未出示", "Nothing was shown"],
  "presence.over": ["窗口二维码已失效，请窗口重新出示", "The desk's code is over; ask for a new one"],
};
