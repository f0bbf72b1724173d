"""Every route of the program, by audience."""

from django.urls import path

from cards.api import issuer
from cards.api import resident as cards
from cards.api import terminal as buses
from identity.api import (
    asking,
    corrections,
    counter,
    department,
    high_assurance,
    hotline,
    invitations,
    level_desk,
    levels,
    login,
    lost_phones,
    machine_keys,
    my_delegations,
    my_log,
    my_logins,
    my_record,
    my_reverse_scans,
    my_sharing,
    public,
    register,
    resident,
    terminal,
)
from payments.api import (
    bank,
    bank_cards,
    biller,
    bills,
    charges,
    merchant,
    merchant_qr,
    paying,
    receipts,
    refund_requests,
    shops,
    stores,
    ways,
    withdrawals,
)
from payments.api import resident as money
from services.api import counter as queue
from services.api import resident as booking
from services.iot.api import platform
from services.iot.api import resident as iot
from vpass import pages
from vpass.common import health
from vpass.common.api import problems
from vpass.staff_urls import STAFF_ROUTES

handler400 = problems.bad_request
handler403 = problems.not_allowed
handler404 = problems.not_found
handler500 = problems.server_fault

_PUBLIC = "api/public/v1/"
_RESIDENT = "api/resident/v1/"
_COUNTER = "api/counter/v1/"
_DEPARTMENT = "api/department/v1/"
_TERMINAL = "api/terminal/v1/"
_MERCHANT = "api/merchant/v1/"
_BANK = "api/bank/v1/"
_ISSUER = "api/issuer/v1/"
_REGISTER = "api/register/v1/"
_PLATFORM = "api/platform/v1/"
_PAID = f"{_MERCHANT}payments/<uuid:payment_id>"
_ASKED = f"{_MERCHANT}refund-requests/<uuid:request_id>"

urlpatterns = [
    # The busiest, since the patterns are tried one after the other
    path(f"{_MERCHANT}payments", merchant.MerchantPayments.as_view()),
    path(f"{_COUNTER}scans", counter.CounterScans.as_view()),
    path(f"{_TERMINAL}scans", terminal.TerminalScans.as_view()),
    path(f"{_RESIDENT}grants", resident.Grants.as_view()),
    path(f"{_TERMINAL}bus-taps", buses.BusTaps.as_view()),
    path(f"{_RESIDENT}bookings", booking.Bookings.as_view()),
    # Pages
    path("phone/", pages.PhonePage.as_view()),
    path("phone/manifest.webmanifest", pages.PhoneManifest.as_view()),
    path("phone/service-worker.js", pages.PhoneServiceWorker.as_view()),
    path("pay/<slug:reference>.<slug:tag>", pages.PayLink.as_view()),
    path("counter/", pages.CounterPage.as_view()),
    path("till/", pages.TillPage.as_view()),
    path("operations/", pages.OperationsPage.as_view()),
    path("city/", pages.CityPage.as_view()),
    path("oidc/authorize", pages.LoginPage.as_view()),
    path("oidc/logout", login.EndSession.as_view()),
    # Operations
    path("health/live", health.live),
    path("health/ready", health.ready),
    path("metrics", health.metrics),
    # Anybody
    path(".well-known/vpass-keys.json", public.KeySet.as_view()),
    path(".well-known/vpass-status/<int:number>", public.StatusLists.as_view()),
    path(".well-known/vpass-attestation-challenge", public.AttestationChallenges.as_view()),
    # The population register
    path(f"{_REGISTER}changes", register.RegisterChanges.as_view()),
    path(".well-known/openid-configuration", login.Discovery.as_view()),
    # Logging in with V Pass: relying parties, and the browsers they send
    path("oidc/token", login.token),
    path("oidc/revoke", login.revoke),
    path("oidc/userinfo", login.user_info),
    path("oidc/logins", login.Logins.as_view()),
    path("oidc/logins/<uuid:login_id>", login.OneLogin.as_view()),
    path("oidc/logins/<uuid:login_id>/return", login.LoginReturns.as_view()),
    path("oidc/logouts", login.Logouts.as_view()),
    path(f"{_PUBLIC}receipts/<slug:code>", receipts.Receipts.as_view()),
    path(f"{_PUBLIC}receipt-checks", receipts.ReceiptChecks.as_view()),
    # Residents' phones
    path(f"{_RESIDENT}enrolments", resident.Enrolments.as_view()),
    path(f"{_RESIDENT}enrolments/<uuid:enrolment_id>/phone-proof", resident.PhoneProofs.as_view()),
    path(f"{_RESIDENT}tokens", resident.Tokens.as_view()),
    path(f"{_RESIDENT}enrolments/<uuid:enrolment_id>/move", lost_phones.Moves.as_view()),
    path(f"{_RESIDENT}tokens/refresh", lost_phones.TokenRefreshes.as_view()),
    path(f"{_RESIDENT}tokens/own", lost_phones.OwnTokens.as_view()),
    path(f"{_RESIDENT}devices", lost_phones.Devices.as_view()),
    path(f"{_RESIDENT}devices/<uuid:device_id>/freeze", lost_phones.DeviceFreezes.as_view()),
    path(f"{_RESIDENT}devices/<uuid:device_id>/thaw", lost_phones.DeviceThaws.as_view()),
    path(f"{_RESIDENT}suspensions", lost_phones.OwnSuspensions.as_view()),
    path(f"{_RESIDENT}suspensions/<uuid:suspension_id>/lift", lost_phones.OwnLiftings.as_view()),
    path(f"{_RESIDENT}identity-proofs", resident.IdentityProofs.as_view()),
    path(f"{_RESIDENT}face-checks", levels.FaceChecks.as_view()),
    path(f"{_RESIDENT}face-checks/<uuid:check_id>/result", levels.FaceCheckResults.as_view()),
    path(f"{_RESIDENT}counter-numbers", levels.CounterNumbers.as_view()),
    path(f"{_RESIDENT}me", resident.Me.as_view()),
    path(f"{_RESIDENT}codes", resident.ServerCodes.as_view()),
    path(f"{_RESIDENT}access-log", my_log.AccessLog.as_view()),
    path(f"{_RESIDENT}access-log/exports", my_log.AccessLogExports.as_view()),
    path(f"{_RESIDENT}access-log/<uuid:line_id>", my_log.AccessLogLine.as_view()),
    path(f"{_RESIDENT}access-log/<uuid:line_id>/dispute", my_log.LineDisputes.as_view()),
    path(
        f"{_RESIDENT}access-log/<uuid:line_id>/dispute/withdrawal",
        my_log.LineDisputeWithdrawals.as_view(),
    ),
    path(f"{_RESIDENT}consents", my_sharing.Consents.as_view()),
    path(f"{_RESIDENT}consents/<uuid:consent_id>/approval", my_sharing.ConsentApprovals.as_view()),
    path(f"{_RESIDENT}consents/<uuid:consent_id>/refusal", my_sharing.ConsentRefusals.as_view()),
    path(
        f"{_RESIDENT}consents/<uuid:consent_id>/withdrawal", my_sharing.ConsentWithdrawals.as_view()
    ),
    path(f"{_RESIDENT}login-looks", my_logins.LoginLooks.as_view()),
    path(f"{_RESIDENT}logins", my_logins.MyLogins.as_view()),
    path(f"{_RESIDENT}logins/<uuid:login_id>/approval", my_logins.LoginApprovals.as_view()),
    path(f"{_RESIDENT}logins/<uuid:login_id>/refusal", my_logins.LoginRefusals.as_view()),
    path(f"{_RESIDENT}logins/<uuid:login_id>/withdrawal", my_logins.LoginWithdrawals.as_view()),
    path(f"{_RESIDENT}reverse-scan-looks", my_reverse_scans.ReverseScanLooks.as_view()),
    path(
        f"{_RESIDENT}reverse-scans/<uuid:scan_id>/answer",
        my_reverse_scans.ReverseScanAnswers.as_view(),
    ),
    path(f"{_RESIDENT}share-recipients", my_sharing.ShareRecipients.as_view()),
    path(f"{_RESIDENT}case-shares", my_sharing.CaseShares.as_view()),
    path(
        f"{_RESIDENT}case-shares/<uuid:share_id>/withdrawal",
        my_sharing.CaseShareWithdrawals.as_view(),
    ),
    path(f"{_RESIDENT}delegations", my_delegations.Delegations.as_view()),
    path(
        f"{_RESIDENT}delegations/<uuid:delegation_id>/acceptance",
        my_delegations.DelegationAcceptances.as_view(),
    ),
    path(
        f"{_RESIDENT}delegations/<uuid:delegation_id>/refusal",
        my_delegations.DelegationRefusals.as_view(),
    ),
    path(
        f"{_RESIDENT}delegations/<uuid:delegation_id>/revocation",
        my_delegations.DelegationRevocations.as_view(),
    ),
    path(
        f"{_RESIDENT}delegations/<uuid:delegation_id>/uses", my_delegations.DelegationUses.as_view()
    ),
    path(f"{_RESIDENT}wallet", money.WalletOf.as_view()),
    path(f"{_RESIDENT}payments", money.ResidentPayments.as_view()),
    path(f"{_RESIDENT}payments/<uuid:payment_id>", money.OneResidentPayment.as_view()),
    path(f"{_RESIDENT}payments/<uuid:payment_id>/confirmation", money.Confirmations.as_view()),
    path(f"{_RESIDENT}payments/<uuid:payment_id>/refusal", money.Refusals.as_view()),
    path(f"{_RESIDENT}payments/<uuid:payment_id>/way", ways.ResidentPaymentWay.as_view()),
    path(f"{_RESIDENT}statement", money.WalletStatement.as_view()),
    path(f"{_RESIDENT}charges", charges.Charges.as_view()),
    path(f"{_RESIDENT}bills", bills.Bills.as_view()),
    path(f"{_RESIDENT}bills/<uuid:bill_id>", bills.OneBill.as_view()),
    path(f"{_RESIDENT}bill-look-ups", bills.BillLookUps.as_view()),
    path(f"{_RESIDENT}bill-follows", bills.BillFollows.as_view()),
    path(f"{_RESIDENT}bill-follows/<uuid:bill_id>", bills.OneBillFollow.as_view()),
    path(f"{_RESIDENT}bill-payments", bills.BillPayments.as_view()),
    path(f"{_RESIDENT}bill-payments/<uuid:payment_id>/receipt", bills.BillReceipts.as_view()),
    path(f"{_RESIDENT}owed", bills.AllOwed.as_view()),
    path(f"{_RESIDENT}top-ups", bank_cards.TopUps.as_view()),
    path(f"{_RESIDENT}top-ups/<uuid:top_up_id>", bank_cards.OneTopUp.as_view()),
    path(f"{_RESIDENT}payment-source", bank_cards.PaymentSources.as_view()),
    path(f"{_RESIDENT}pay-codes", paying.PayCodes.as_view()),
    path(f"{_RESIDENT}visits", shops.ResidentVisits.as_view()),
    path(f"{_RESIDENT}scanned-payments", paying.ScannedPayments.as_view()),
    path(f"{_RESIDENT}payer-handles", paying.PayerHandles.as_view()),
    path(f"{_RESIDENT}payer-handles/<uuid:merchant_id>", paying.OnePayerHandle.as_view()),
    path(f"{_RESIDENT}payment-pin", paying.PaymentPins.as_view()),
    path(f"{_RESIDENT}withdrawals", withdrawals.Withdrawals.as_view()),
    path(f"{_RESIDENT}withdrawals/<uuid:withdrawal_id>", withdrawals.Withdrawal.as_view()),
    path(f"{_RESIDENT}funding-sources", withdrawals.FundingSources.as_view()),
    path(f"{_RESIDENT}card-types", cards.CardTypesOf.as_view()),
    path(f"{_RESIDENT}cards", cards.Cards.as_view()),
    path(f"{_RESIDENT}cards/<uuid:card_id>", cards.OneCard.as_view()),
    path(f"{_RESIDENT}cards/<uuid:card_id>/freeze", cards.CardFreezes.as_view()),
    path(f"{_RESIDENT}cards/<uuid:card_id>/lift", cards.CardLifts.as_view()),
    path(f"{_RESIDENT}cards/<uuid:card_id>/loss", cards.CardLosses.as_view()),
    path(f"{_RESIDENT}cards/<uuid:card_id>/unbinding", cards.CardUnbindings.as_view()),
    path(f"{_RESIDENT}parking/claims", iot.ParkingClaims.as_view()),
    path(f"{_RESIDENT}parking/sessions", iot.ParkingSessions.as_view()),
    path(f"{_RESIDENT}parking/sessions/<uuid:session_id>", iot.OneParkingSession.as_view()),
    path(f"{_RESIDENT}services", booking.Services.as_view()),
    path(f"{_RESIDENT}services/<uuid:service_id>", booking.OneService.as_view()),
    path(f"{_RESIDENT}services/<uuid:service_id>/slots", booking.Slots.as_view()),
    path(f"{_RESIDENT}bookings/<uuid:booking_id>", booking.OneBooking.as_view()),
    path(
        f"{_RESIDENT}bookings/<uuid:booking_id>/confirmation",
        booking.BookingConfirmations.as_view(),
    ),
    path(
        f"{_RESIDENT}bookings/<uuid:booking_id>/cancellation",
        booking.BookingCancellations.as_view(),
    ),
    # Counters
    path(f"{_COUNTER}desk-keys", counter.DeskKeys.as_view()),
    path(f"{_COUNTER}sessions", counter.Sessions.as_view()),
    path(f"{_COUNTER}sessions/current", counter.CurrentSession.as_view()),
    path(f"{_COUNTER}scans/<uuid:scan_id>/photo", level_desk.ScanPhotos.as_view()),
    path(f"{_COUNTER}level-raises", level_desk.LevelRaises.as_view()),
    path(f"{_COUNTER}enrolments", level_desk.CounterEnrolments.as_view()),
    path(f"{_COUNTER}register-reviews", level_desk.RegisterReviews.as_view()),
    path(
        f"{_COUNTER}register-reviews/<uuid:change_id>/decision",
        level_desk.RegisterDecisions.as_view(),
    ),
    path(f"{_COUNTER}reverse-scans", high_assurance.ReverseScans.as_view()),
    path(f"{_COUNTER}reverse-scans/<uuid:scan_id>", high_assurance.OneReverseScan.as_view()),
    path(
        f"{_COUNTER}reverse-scans/<uuid:scan_id>/collection",
        high_assurance.ReverseScanCollections.as_view(),
    ),
    path(f"{_COUNTER}check-ins", queue.CheckIns.as_view()),
    path(f"{_COUNTER}queue", queue.QueueOf.as_view()),
    path(f"{_COUNTER}queue/next", queue.NextCalls.as_view()),
    path(f"{_COUNTER}tickets/<uuid:ticket_id>/recall", queue.Recalls.as_view()),
    path(f"{_COUNTER}tickets/<uuid:ticket_id>/serve", queue.Servings.as_view()),
    path(f"{_COUNTER}tickets/<uuid:ticket_id>/finish", queue.Finishings.as_view()),
    path(f"{_COUNTER}tickets/<uuid:ticket_id>/miss", queue.Misses.as_view()),
    path(f"{_COUNTER}codes", hotline.StaffCodes.as_view()),
    path(f"{_COUNTER}lost-phones", hotline.LostPhones.as_view()),
    path(f"{_COUNTER}found-phones", hotline.FoundPhones.as_view()),
    path(f"{_COUNTER}suspensions", hotline.StaffSuspensions.as_view()),
    path(f"{_COUNTER}suspensions/lift", hotline.StaffLiftings.as_view()),
    path(f"{_COUNTER}consent-requests", asking.ConsentRequests.as_view()),
    path(f"{_COUNTER}consent-requests/<uuid:consent_id>", asking.OneConsentRequest.as_view()),
    path(f"{_COUNTER}consent-requests/<uuid:consent_id>/release", asking.ConsentReleases.as_view()),
    path(f"{_COUNTER}disputes", asking.Disputes.as_view()),
    path(f"{_COUNTER}disputes/<uuid:line_id>/answer", asking.DisputeAnswers.as_view()),
    # Departments
    path(f"{_DEPARTMENT}case-share-openings", department.CaseShareOpenings.as_view()),
    path(
        f"{_DEPARTMENT}case-shares/<uuid:share_id>/decision",
        department.CaseShareDecisions.as_view(),
    ),
    # Terminals
    path(f"{_TERMINAL}scanner-bundle", terminal.ScannerBundles.as_view()),
    # Issuers of cards
    path(f"{_ISSUER}card-freezes", issuer.IssuedCardFreezes.as_view()),
    path(f"{_ISSUER}card-lifts", issuer.IssuedCardLifts.as_view()),
    path(f"{_ISSUER}card-replacements", issuer.IssuedCardReplacements.as_view()),
    path(f"{_ISSUER}card-expiries", issuer.IssuedCardExpiries.as_view()),
    # Merchants
    path(f"{_MERCHANT}till-keys", machine_keys.MerchantKeys.as_view()),
    path(f"{_MERCHANT}stores", stores.MerchantStores.as_view()),
    path(f"{_MERCHANT}payments/<uuid:payment_id>", merchant.MerchantPayment.as_view()),
    path(f"{_MERCHANT}payments/<uuid:payment_id>/cancellation", merchant.Cancellations.as_view()),
    path(f"{_MERCHANT}payments/<uuid:payment_id>/refunds", merchant.Refunds.as_view()),
    path(f"{_MERCHANT}payments/<uuid:payment_id>/way", ways.MerchantPaymentWay.as_view()),
    path(f"{_MERCHANT}settlements", ways.Settlements.as_view()),
    path(f"{_MERCHANT}settlements/<int:settlement_id>/payments", ways.SettlementPayments.as_view()),
    path(f"{_MERCHANT}qr-codes", merchant_qr.MerchantQrs.as_view()),
    path(f"{_MERCHANT}qr-codes/<uuid:qr_id>", merchant_qr.OneMerchantQr.as_view()),
    path(f"{_MERCHANT}qr-codes/<uuid:qr_id>/withdrawal", merchant_qr.QrWithdrawals.as_view()),
    path(f"{_MERCHANT}app-orders", merchant_qr.AppOrders.as_view()),
    path(f"{_PAID}/refund-requests", refund_requests.RefundRequests.as_view()),
    path(f"{_MERCHANT}refund-requests", refund_requests.AskedRefunds.as_view()),
    path(f"{_ASKED}/approval", refund_requests.RefundApprovals.as_view()),
    path(f"{_ASKED}/rejection", refund_requests.RefundRejections.as_view()),
    path(f"{_MERCHANT}visits", shops.Visits.as_view()),
    path(f"{_MERCHANT}visits/<uuid:visit_id>", shops.OneVisit.as_view()),
    path(f"{_MERCHANT}visits/<uuid:visit_id>/leaving", shops.Leavings.as_view()),
    path(f"{_MERCHANT}statement", merchant.MerchantStatement.as_view()),
    path(f"{_MERCHANT}bill-batches", biller.BillBatches.as_view()),
    path(f"{_MERCHANT}bills", biller.IssuedBills.as_view()),
    path(f"{_MERCHANT}bills/<uuid:bill_id>", biller.IssuedBill.as_view()),
    path(f"{_MERCHANT}bills/<uuid:bill_id>/amendment", biller.BillAmendments.as_view()),
    path(f"{_MERCHANT}bills/<uuid:bill_id>/cancellation", biller.BillCancellations.as_view()),
    # Banks
    path(f"{_BANK}credit-notices", bank.CreditNotices.as_view()),
    path(f"{_BANK}payout-notices", bank.PayoutNotices.as_view()),
    path(f"{_BANK}debit-notices", bank.DebitNotices.as_view()),
    # IoT platforms
    path(f"{_PLATFORM}push/<slug:source>/<slug:secret>", platform.Pushes.as_view()),
    *STAFF_ROUTES,
    # Staff on their way in, and machines' keys
    path(f"{_COUNTER}invitations/password", invitations.InvitationPasswords.as_view()),
    path(f"{_COUNTER}invitations/acceptance", invitations.InvitationAcceptances.as_view()),
    path(f"{_COUNTER}password", invitations.Passwords.as_view()),
    path(f"{_TERMINAL}keys", machine_keys.TerminalKeys.as_view()),
    path(f"{_TERMINAL}keys/rotation", machine_keys.TerminalKeyRotations.as_view()),
    path(f"{_DEPARTMENT}keys", machine_keys.DepartmentKeys.as_view()),
    path(f"{_DEPARTMENT}keys/rotation", machine_keys.DepartmentKeyRotations.as_view()),
    path(f"{_BANK}keys", machine_keys.BankKeys.as_view()),
    path(f"{_BANK}keys/rotation", machine_keys.BankKeyRotations.as_view()),
    path(f"{_ISSUER}keys", machine_keys.IssuerKeys.as_view()),
    path(f"{_ISSUER}keys/rotation", machine_keys.IssuerKeyRotations.as_view()),
    path(f"{_MERCHANT}keys/rotation", machine_keys.MerchantKeyRotations.as_view()),
    # Residents' own record
    path(f"{_RESIDENT}exports", my_record.Exports.as_view()),
    path(f"{_RESIDENT}corrections", my_record.Corrections.as_view()),
    path(
        f"{_RESIDENT}corrections/<uuid:correction_id>/withdrawal",
        my_record.CorrectionWithdrawals.as_view(),
    ),
    path(f"{_RESIDENT}deletion-terms", my_record.OfDeletion.as_view()),
    path(f"{_RESIDENT}deletions", my_record.Deletions.as_view()),
    path(
        f"{_RESIDENT}deletions/<uuid:deletion_id>/cancellation",
        my_record.DeletionCancellations.as_view(),
    ),
    path(f"{_COUNTER}corrections", corrections.CorrectionsAsked.as_view()),
    path(
        f"{_COUNTER}corrections/<uuid:correction_id>/refusal",
        corrections.CorrectionRefusals.as_view(),
    ),
    path(
        f"{_COUNTER}corrections/<uuid:correction_id>/grant", corrections.CorrectionGrants.as_view()
    ),
]
