// What people read about ways to pay on the phone, in both languages: [Chinese, English].

export const PAYING = {
  // The bar code for old tills
  "bars.open": ["付款条码", "Bar code"],
  "bars.close": ["收起条码", "Close bar code"],
  "bars.label": ["您的付款条码，供只能读条形码的收银机使用。", "Your bar code, for tills that read bars only."],
  "bars.left": ["{s} 秒后自动更换", "Renewed in {s} s"],
  "bars.text": [
    "供只能读条形码的收银机使用，需要联网。只给收银员看，不要截图发给别人。",
    "For tills that read bars only; needs the network. Show it to the cashier and send it to nobody.",
  ],

  // Paying by a merchant's QR or link
  "scan_pay.link": ["扫码付款", "Scan to pay"],
  "scan_pay.title": ["扫码付款", "Scan to pay"],
  "scan_pay.text": [
    "扫商户的收款码，核对收款方和金额后再确认。",
    "Scan the merchant's QR. You see who is paid and how much before you confirm.",
  ],
  "scan_pay.field": ["收款码内容或付款链接", "Text of the QR, or a payment link"],
  "scan_pay.go": ["下一步", "Next"],
  "scan_pay.says": ["收款码上写着：", "The QR names:"],
  "scan_pay.amount": ["付款金额（元）", "Amount in yuan"],
  "scan_pay.next": ["下一步", "Next"],
  "scan_pay.again": ["换一个收款码", "Another QR"],
  "problem.camera.none": ["没有可用的摄像头", "No camera can be used"],
  "next.camera.none": [
    "请允许使用摄像头，或选择收款码的图片。",
    "Allow the camera, or choose a picture of the QR.",
  ],
  "why.merchant_qr.unreadable": ["这不是商户收款码", "This is no merchant's QR"],
  "next.merchant_qr.unreadable": [
    "请扫商户出示的收款码；若不完整，请再扫一次。",
    "Scan the QR that the merchant shows. If it was cut short, scan once more.",
  ],
  "why.merchant_qr.foreign": ["这个收款码不属于云支付", "This QR is not Cloud Pay's"],
  "next.merchant_qr.foreign": [
    "请改用对应的钱包付款；若商户说它是云支付的，请不要付款并告知商户。",
    "Pay with the wallet it belongs to. If the merchant says it is Cloud Pay's, do not pay and tell the merchant.",
  ],
  "why.merchant_qr.over": ["这个收款码已失效", "This QR's time is over"],
  "next.merchant_qr.over": ["请商户出示新的收款码。", "Ask the merchant for a new one."],
  "why.merchant_qr.used": ["别人正在用这个收款码付款", "Somebody else pays by this QR"],
  "next.merchant_qr.used": ["请商户出示新的收款码。", "Ask the merchant for a new one."],

  // A payment that waits
  "confirm.left_min": ["请在 {min} 分钟内决定。", "Decide within {min} minutes."],

  // The payment PIN
  "pin.title": ["支付密码", "Payment PIN"],
  "pin.link_text": ["六位数字，大额付款时使用", "Six digits, for large payments"],
  "pin.text": [
    "六位数字。大额或异常付款时，除手机签名外还要输入。新密码在 24 小时后才能提高限额。",
    "Six digits, asked for beside the phone's signature when much is paid or a payment looks unusual. A new one raises limits after 24 hours.",
  ],
  "pin.state_none": ["尚未设置支付密码。", "There is no payment PIN yet."],
  "pin.state_set": ["支付密码已设置。", "Your payment PIN is set."],
  "pin.state_locked": [
    "支付密码错误次数过多，已锁定。请通过身份核验重新设置。",
    "Your payment PIN is locked after too many tries. Set it anew by proving who you are.",
  ],
  "pin.set": ["设置支付密码", "Set a PIN"],
  "pin.change": ["修改支付密码", "Change the PIN"],
  "pin.forgotten": ["忘记或已锁定？重新设置", "Forgotten or locked? Set it anew"],
  "pin.go": ["去设置支付密码", "Go and set the PIN"],
  "pin.done": ["新的支付密码已生效。", "The new PIN is in force."],
  "pin.enter": ["请输入支付密码", "Enter the payment PIN"],
  "pin.present": ["请输入原支付密码", "Enter the present PIN"],
  "pin.new": ["请输入新的六位支付密码", "Enter a new PIN of six digits"],
  "pin.new_simple": ["太简单，请换六位不连续、不相同的数字", "Too simple: no run, not six equal digits"],
  "pin.new_differ": ["两次不一致，请重新输入新密码", "They differ; enter the new PIN again"],
  "pin.again": ["请再输入一次", "Enter it once more"],
  "pin.count": ["已输入 {n} 位，共 6 位", "{n} of 6 digits entered"],
  "pin.reset_title": ["核验身份", "Prove who you are"],
  "pin.reset_first": ["请先获取短信验证码。", "Ask for a code first."],
  "pin.reset_go": ["下一步", "Next"],
  "why.payment_pin.wrong": ["支付密码不对", "Wrong payment PIN"],
  "next.payment_pin.wrong": ["还可以试 {tries_left} 次。", "{tries_left} tries left."],
  "why.payment_pin.locked": ["支付密码已锁定", "The payment PIN is locked"],
  "next.payment_pin.locked": [
    "请用短信验证码、姓名和身份证号重新设置。",
    "Set it anew with a code by SMS, your name and your ID number.",
  ],
  "why.payment_pin.not_set": ["这笔付款需要支付密码", "This payment needs the payment PIN"],
  "next.payment_pin.not_set": [
    "请先设置，再在时限内回来付款。",
    "Set one first, then come back in time to pay.",
  ],
  "why.payment_pin.too_simple": ["支付密码过于简单", "This PIN is too simple"],
  "next.payment_pin.too_simple": [
    "不能是连续或相同的数字，也不能是身份证号的末尾。",
    "No run, not six equal digits, not the end of your ID number.",
  ],
  "why.payment_pin.proof_needed": ["身份信息不符", "This does not match your account"],
  "next.payment_pin.proof_needed": [
    "请与身份证逐字核对姓名和号码。每天最多可试 5 次。",
    "Compare the name and number with your ID card. You have 5 tries a day.",
  ],
  "why.payment.limit_exceeded": ["超出限额", "Above the limit"],
  "next.payment.limit_exceeded": [
    "这种付款方式今天不能付这么多。请减少金额、换一种方式，或明天再付。",
    "So much cannot be paid this way today. Pay less, in another way, or tomorrow.",
  ],
  "daily.payment.limit_exceeded": ["这种方式每天最多 {daily}。", "At most {daily} a day in this way."],
  "why.risk.refused": ["付款异常，已暂停支付", "This payment looks unusual; paying is stopped"],
  "next.risk.refused": [
    "工作人员核查后会恢复。如有疑问请拨打 12345。",
    "Staff will look at it and lift the stop. Call 12345 if in doubt.",
  ],

  // Funding
  "source.split": ["先用余额，不足部分由银行卡支付", "Balance first; the card pays the rest"],
  "withdraw.title": ["提现", "Withdraw"],
  "withdraw.link_text": ["把余额转回您的银行账户", "Send money back to your bank account"],
  "withdraw.none": [
    "只能转回曾经充值的银行账户。您还没有从银行账户充值。",
    "Money goes back to an account that it came from. You have topped up from none yet.",
  ],
  "withdraw.account": ["银行账户", "Bank account"],
  "withdraw.bad": ["请输入 0.01 至 {sum} 的金额。", "Enter an amount from ¥0.01 to {sum}."],
  "withdraw.list": ["提现记录", "Withdrawals"],
  "withdrawal.prepared": ["处理中", "In progress"],
  "withdrawal.accepted": ["银行处理中", "At the bank"],
  "withdrawal.unknown": ["正在向银行核实", "Asking the bank"],
  "withdrawal.booked": ["已到账", "Arrived"],
  "withdrawal.rejected": ["银行退回", "Refused by the bank"],
  "withdrawal.never_arrived": ["未到账，已退回余额", "Not sent; back in your balance"],

  // Where the money is
  "way.title": ["钱到哪了？", "Where is my money?"],
  "way.ordered": ["下单", "Order"],
  "way.paid": ["支付", "Payment"],
  "way.settled": ["结算", "Settlement"],
  "way.paid_out": ["付给商户", "Payout to the merchant"],
  "way.acknowledged": ["商户银行入账", "Booked by the merchant's bank"],
  "way.reference": ["编号 {reference}", "No. {reference}"],
  "way.state_waiting": ["等待中", "Waiting"],
  "way.state_stopped": ["已终止，未扣款", "Stopped; no money moved"],
  "way.state_done": ["已完成", "Done"],

  // Where merchants take money by themselves
  "shops.title": ["您在无人店内", "You are in an unmanned shop"],
  "shops.text": ["离店时按所取商品扣款，其余立即退还。", "What you take is paid on leaving; the rest is free again at once."],
  "shops.held": ["已预留，{time} 前离店", "Held; leave by {time}"],
  "leave.title": ["允许该商户请您付款？", "Let this merchant ask you to pay?"],
  "leave.text": [
    "允许后，它可以在应用里向您发起付款请求；每一笔仍要由您确认。可随时在钱包里撤回。",
    "It may then ask you for payments in its app; each still waits for your word. Take it back in the wallet at any time.",
  ],
  "leave.given": ["已允许。请把这个标识交给该商户的应用：", "Given. Pass this name on to the merchant's app:"],
  "leave.yes": ["允许", "Allow"],
  "leave.no": ["不允许", "Do not allow"],
  "leave.close": ["关闭", "Close"],
  "leaves.title": ["可发起扣款请求的商户", "Merchants who may ask"],
  "leaves.text": ["每一笔仍要由您确认。", "Each payment still waits for your word."],
  "leaves.end": ["撤回许可", "Take leave back"],
};
