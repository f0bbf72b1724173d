// Words of levels, photos and what proves people, in Chinese and English.

export const LEVELS = {
  "field.photo": ["登记照片", "Photo"],
  "photo.of_register": ["人口登记照片，请与本人比对", "The register's photo: compare it with the person"],
  "photo.missing": ["没有可显示的照片", "There is no photo to show"],
  "purpose.face-check": ["人脸核验", "Face check"],
  "raise.title": ["提升认证等级", "Raise your level"],
  "raise.text": [
    "到实名核验窗口，出示证件并说出本机显示的核验码，即可达到 3 级。",
    "Go to a registrar's counter, show your document and say the number shown here, to reach level 3.",
  ],
  "raise.help": [
    "姓名或号码对不上？请带证件到实名核验窗口，并说出本机显示的核验码。",
    "Name or number not found? Take your document to a registrar's counter and say the number shown here.",
  ],
  "raise.number": ["显示核验码", "Show a number"],
  "raise.shown": ["核验码 {number}，{until} 前有效", "Number {number}, good until {until}"],
  "raise.done": ["窗口已办理", "The counter has done it"],
  "raise.not_yet": ["等级尚未提升", "The level has not been raised yet"],
  "raise.document": ["已查验的证件", "Document seen"],
  "raise.go": ["本人与照片、证件一致：提升到 3 级", "Person, photo and document agree: raise to level 3"],
  "raise.raised": ["已提升到 3 级，并记入本人的查阅记录", "Raised to level 3, and written to the person's log"],
  "document.id_card": ["居民身份证", "ID card"],
  "document.temporary_id_card": ["临时身份证", "Temporary ID card"],
  "document.household_register": ["户口簿", "Household register"],
  "document.passport": ["护照", "Passport"],
  "raise.reached": ["认证等级已提升", "Your level has been raised"],
};
