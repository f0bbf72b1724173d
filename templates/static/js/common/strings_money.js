// What people read about money, in both languages: [Chinese, English]. Part of strings.js.

export const MONEY = {
  // States of a payment
  "payment.created": ["处理中", "In progress"],
  "payment.confirming": ["待确认", "To be confirmed"],
  "payment.captured": ["已支付", "Paid"],
  "payment.part_refunded": ["部分退款", "Part refunded"],
  "payment.refunded": ["已退款", "Refunded"],
  "payment.failed": ["未支付", "Not paid"],
  "payment.cancelled": ["已撤销", "Called off"],
  "payment.expired": ["已超时", "Timed out"],

  // The till
  "till.title": ["V Pass · 收银台", "V Pass · Till"],
  "till.enrol_title": ["登记本收银台", "Enrol this till"],
  "till.enrol_text": [
    "请输入管理员给出的登记码。本浏览器会生成收银台密钥，只在这台设备上有效。",
    "Enter the enrolment code from your administrator. This browser makes the till's key, good on this device only.",
  ],
  "till.enrol": ["登记", "Enrol till"],
  "till.amount": ["收款金额（元）", "Amount in yuan"],
  "till.amount_bad": [
    "请输入 0.01 至 50,000.00 元的金额。",
    "Enter an amount from 0.01 to 50,000.00 yuan.",
  ],
  "till.back": ["删除一位", "Delete a digit"],
  "till.scan": ["顾客的付款码", "The customer's code"],
  "till.scan_hint": ["先输金额，再扫码或粘贴", "Enter the amount, then scan or paste"],
  "till.charge": ["收款", "Charge"],
  "till.result": ["收款结果", "Result of the payment"],
  "till.ready": ["输入金额，请顾客出示 V Pass 码。", "Enter the amount and ask for the V Pass code."],
  "till.checking": ["正在收款…", "Charging…"],
  "till.paid": ["收款成功", "Paid"],
  "till.waiting": ["等待顾客确认", "Waiting for the customer"],
  "till.waiting_text": [
    "金额较大，请顾客在手机上确认。在变绿之前请不要交货。",
    "A large amount: the customer confirms on the phone. Hand nothing over before this turns green.",
  ],
  "till.cancel": ["撤销收款", "Call it off"],
  "till.cancelled": ["收款已撤销。", "The payment was called off."],
  "till.refused": ["未收款", "Not paid"],
  "till.next_refused": ["请顾客出示新码，再扫一次。", "Ask for a new code and scan once more."],
  "till.uncertain": [
    "还不知道是否收到了款。请按“重试”，不会重复扣款。在变绿之前请不要交货。",
    "It is not known whether this was paid. Press “Try again”; nothing is charged twice. Hand nothing over before it turns green.",
  ],
  "till.next_customer": ["下一位", "Next customer"],
  "till.last": ["最近收款", "Last payments"],
  "till.none": ["还没有收款。", "No payments yet."],
  "till.refund": ["退款", "Refund"],
  "till.refund_amount": ["退款金额（元）", "Refund in yuan"],
  "till.refund_yes": ["确认退款", "Refund now"],
  "till.refund_bad": ["最多可退 {most}。", "At most {most} can be refunded."],
  "till.refunded": ["已退款 {sum}。", "{sum} refunded."],
  "till.next.ledger.insufficient_funds": [
    "请顾客充值后出示新码，或改用其他方式付款。",
    "Ask the customer to top up and show a new code, or to pay otherwise.",
  ],
  "till.next.merchant.suspended": [
    "请联系平台客服；暂停期间不能收款和退款。",
    "Contact the platform; while suspended nothing can be charged or refunded.",
  ],
  "till.next.code.scene_not_allowed": [
    "请顾客在手机上把“此码可用于”改为“全部场景”，再出示新码。",
    "Ask the customer to choose “Everything” under “This code is good for” and show the new code.",
  ],
  "till.next.code.suspended": ["请顾客改用其他方式付款。", "Ask the customer to pay otherwise."],
  "till.next.code.revoked": ["请顾客改用其他方式付款。", "Ask the customer to pay otherwise."],
  "till.next.order.declined": ["请与顾客核对金额后重新收款。", "Check the amount with the customer, then charge anew."],
  "till.next.order.expired": ["请顾客出示新码，重新收款。", "Ask for a new code and charge anew."],
  "why.order.declined": ["顾客在手机上拒绝了付款", "The customer refused on the phone"],
  "why.order.expired": ["没有在时限内确认", "Not confirmed in time"],
  "why.ledger.insufficient_funds": ["余额不足", "Not enough money in the wallet"],
  "why.merchant.suspended": ["该商户已暂停收款", "This merchant is suspended"],
  "next.terminal.code_refused": [
    "登记码只能用一次，7 天内有效。请向管理员索取新的。",
    "An enrolment code works once within 7 days. Ask your administrator for a new one.",
  ],
  "next.signature.key_unknown": [
    "此收银台的密钥已失效。请向管理员索取新的登记码。",
    "This till's key is no longer good. Ask your administrator for a new enrolment code.",
  ],
  "next.refund.merchant_short": [
    "待有新的收款后再退，或先向账户补款。",
    "Refund again after further payments, or put money into the account first.",
  ],

  // The phone: wallet
  "tab.money": ["钱包", "Wallet"],
  "money.title": ["钱包", "Wallet"],
  "money.balance": ["余额", "Balance"],
  "money.available": ["可用 {sum}", "{sum} available"],
  "money.number": ["充值号码", "Top-up number"],
  "money.number_text": [
    "在手机银行向此号码转账，即可充值。",
    "Transfer to this number in your bank's app to top up.",
  ],
  "money.payments": ["付款记录", "Payments"],
  "money.empty": ["还没有付款。", "No payments yet."],
  "money.refunded": ["已退 {sum}", "{sum} refunded"],

  // The phone: a payment that waits for the holder's word
  "confirm.title": ["确认付款", "Confirm payment"],
  "confirm.to": ["收款方", "To"],
  "confirm.for": ["事由", "For"],
  "confirm.left": ["请在 {s} 秒内决定。", "Decide within {s} seconds."],
  "confirm.yes": ["确认支付 {sum}", "Pay {sum}"],
  "confirm.no": ["拒绝", "Refuse"],
  "confirm.paid": ["已支付 {sum} 给{payee}。", "Paid {sum} to {payee}."],
  "confirm.refused": ["已拒绝付款。", "Payment refused."],
  "confirm.gone": ["该笔付款已结束。", "This payment has ended."],
  "next.ledger.insufficient_funds": [
    "充值后可在时限内再次确认。",
    "Top up, then confirm again in time.",
  ],
};
