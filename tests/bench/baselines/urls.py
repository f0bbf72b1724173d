"""Routes of the baselines."""

from django.urls import path

from tests.bench.baselines.grant import BareGrant
from tests.bench.baselines.pay import BarePayment
from tests.bench.baselines.views import DurableInsert, SignedInsert

urlpatterns = [
    path("insert", DurableInsert.as_view()),
    path("signed-insert", SignedInsert.as_view()),
    path("pay", BarePayment.as_view()),
    path("grant", BareGrant.as_view()),
]
