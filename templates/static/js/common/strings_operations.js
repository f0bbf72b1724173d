// What operators see, in both languages.

export const OPERATIONS = {
  "operations.title": ["V Pass · 运行", "V Pass · Operations"],
  "operations.heading": ["运行情况", "Operations"],
  "operations.runs": ["在运行", "What runs"],
  "operations.waits": ["在等待", "What waits"],
  "operations.today": ["今日", "Today"],
  "operations.up": ["正常", "Up"],
  "operations.down": ["异常", "Down"],
  "operations.letters": ["死信", "Dead letters"],
  "operations.letters_none": ["没有死信。", "There are none."],
  "operations.letter": ["{consumer} · 最后的错误：{error}", "{consumer} · last error: {error}"],
  "operations.redeliver": ["重新送达", "Deliver again"],
  "city.title": ["V Pass · 城市今日", "V Pass · The city today"],
  "city.heading": ["城市今日", "The city today"],
  "figure.as_of": ["{at} 更新", "As of {at}"],
  "figure.seconds": ["{n} 秒", "{n} s"],
  "figure.minutes": ["{n} 分钟", "{n} min"],
  "figure.hours": ["{n} 小时", "{n} h"],
  "figure.peak": ["最多在 {hour} 时：{n}", "Most at {hour}:00: {n}"],
  "next.caller.role_missing": [
    "请由有运行岗位的人员登录。",
    "Sign in as somebody with the operations role.",
  ],
};
