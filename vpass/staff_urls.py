"""The routes of accountants, operators and administrators."""

from django.urls import URLPattern, path

from identity.api import administration, registrations, stores
from payments.api import finance, merchant_changes, onboarding, risk, rule_changes, shop_doors
from vpass.operations import api as operations

_FINANCE = "api/finance/v1/"
_OPERATIONS = "api/operations/v1/"
_ADMIN = "api/administration/v1/"
_FIRM = f"{_FINANCE}merchants/<uuid:merchant_id>"
_ROW = "<uuid:row_id>"

STAFF_ROUTES: list[URLPattern] = [
    # Accountants
    path(f"{_FINANCE}windows", finance.Windows.as_view()),
    path(f"{_FINANCE}windows/<int:window_id>", finance.OneWindow.as_view()),
    path(f"{_FINANCE}windows/<int:window_id>/lines", finance.WindowLines.as_view()),
    path(
        f"{_FINANCE}windows/<int:window_id>/lines/<int:line_id>/payments",
        finance.LinePayments.as_view(),
    ),
    path(f"{_FINANCE}risk-cases", risk.RiskCases.as_view()),
    path(f"{_FINANCE}risk-cases/<uuid:case_id>/decision", risk.RiskDecisions.as_view()),
    path(f"{_FINANCE}risk-rules", risk.RiskRules.as_view()),
    path(f"{_FINANCE}payment-limits", risk.PaymentLimits.as_view()),
    path(f"{_FINANCE}merchants", onboarding.Merchants.as_view()),
    path(
        f"{_FIRM}/suspension",
        merchant_changes.MerchantSuspensions.as_view(),
    ),
    path(
        f"{_FIRM}/reinstatement",
        merchant_changes.MerchantReinstatements.as_view(),
    ),
    path(
        f"{_FIRM}/refund-alone",
        merchant_changes.RefundAloneChanges.as_view(),
    ),
    path(f"{_FINANCE}payment-limit-changes", rule_changes.LimitChanges.as_view()),
    path(f"{_FINANCE}risk-rule-changes", rule_changes.RuleChanges.as_view()),
    path(f"{_FINANCE}setting-changes", rule_changes.SettingChanges.as_view()),
    path(f"{_FINANCE}shop-doors", shop_doors.ShopDoors.as_view()),
    path(f"{_FINANCE}shop-doors/<uuid:terminal_id>/closing", shop_doors.DoorClosings.as_view()),
    path(f"{_FINANCE}merchant-applications", onboarding.MerchantApplications.as_view()),
    path(f"{_FINANCE}proposals", finance.Proposals.as_view()),
    path(f"{_FINANCE}proposals/<uuid:proposal_id>/approval", finance.ProposalApprovals.as_view()),
    path(f"{_FINANCE}proposals/<uuid:proposal_id>/rejection", finance.ProposalRejections.as_view()),
    # Operators
    path(f"{_OPERATIONS}state", operations.State.as_view()),
    path(f"{_OPERATIONS}city", operations.City.as_view()),
    path(f"{_OPERATIONS}dead-letters", operations.DeadLetters.as_view()),
    path(
        f"{_OPERATIONS}dead-letters/<int:delivery_id>/redelivery", operations.Redeliveries.as_view()
    ),
    # Administrators
    path(f"{_ADMIN}organisations", administration.Organisations.as_view()),
    path(f"{_ADMIN}organisations/{_ROW}/suspension", administration.Suspensions.as_view()),
    path(f"{_ADMIN}desks", administration.DeskRegistry.as_view()),
    path(f"{_ADMIN}desks/{_ROW}/suspension", administration.DeskSuspensions.as_view()),
    path(f"{_ADMIN}terminals", administration.TerminalRegistry.as_view()),
    path(f"{_ADMIN}terminals/{_ROW}/suspension", administration.TerminalSuspensions.as_view()),
    path(f"{_ADMIN}terminals/{_ROW}/key-revocation", administration.KeyRevocations.as_view()),
    path(f"{_ADMIN}stores", stores.StoreRegistry.as_view()),
    path(f"{_ADMIN}stores/{_ROW}/suspension", stores.StoreClosings.as_view()),
    path(f"{_ADMIN}staff", administration.StaffRegistry.as_view()),
    path(f"{_ADMIN}staff/{_ROW}/suspension", administration.StaffLockouts.as_view()),
    path(f"{_ADMIN}staff/{_ROW}/role-removal", administration.RoleRemovals.as_view()),
    path(f"{_ADMIN}relying-parties", administration.PartyRegistry.as_view()),
    path(f"{_ADMIN}relying-parties/{_ROW}/suspension", administration.PartySuspensions.as_view()),
    path(f"{_ADMIN}entitlements", administration.Entitlements.as_view()),
    path(f"{_ADMIN}invitations", administration.Invitations.as_view()),
    path(f"{_ADMIN}proposals", registrations.Registrations.as_view()),
    path(
        f"{_ADMIN}proposals/<uuid:proposal_id>/approval",
        registrations.RegistrationApprovals.as_view(),
    ),
    path(
        f"{_ADMIN}proposals/<uuid:proposal_id>/rejection",
        registrations.RegistrationRejections.as_view(),
    ),
]
