"""How machines come by their keys: enrol the first with a code, then let the next take over."""

from typing import ClassVar

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from identity import machine_keys, organisations
from identity.api import administration_examples as examples
from vpass.common.api import Audience, Endpoint, StrictSerializer, describes


class NewMachineKey(StrictSerializer):
    kty = serializers.ChoiceField(choices=["EC"])
    crv = serializers.ChoiceField(choices=["P-256"])
    x = serializers.CharField(max_length=43)
    y = serializers.CharField(max_length=43)


class MachineKeyRequest(StrictSerializer):
    enrolment_code = serializers.RegexField(r"^[0-9A-Z]{16}\Z", max_length=16)
    jwk = NewMachineKey(
        help_text="The new public key; its RFC 7638 thumbprint is the signature's keyid."
    )


class MachineWords(StrictSerializer):
    zh = serializers.CharField()
    en = serializers.CharField()


class MachineShown(StrictSerializer):
    id = serializers.UUIDField()
    scene = serializers.CharField()
    name = MachineWords()
    organisation = MachineWords()


class MachineEnrolled(StrictSerializer):
    machine = MachineShown()
    key_id = serializers.CharField(help_text="The keyid of all its signatures from now on.")


class KeyRotationRequest(StrictSerializer):
    proof = serializers.CharField(
        max_length=2048,
        help_text='A JWS by the new P-256 key, typ "vpass-next-key+jwt", its public jwk in the '
        "header; aud: this URL, sub: the keyid of this request, iat, jti.",
    )


class KeyRotated(StrictSerializer):
    key_id = serializers.CharField(help_text="The new key, good at once.")
    old_key_id = serializers.CharField()
    old_key_good_until = serializers.DateTimeField(help_text="Both are good until then.")


class TerminalKeys(Endpoint):
    """A terminal comes with a key of its own making."""

    audience = Audience.TERMINAL
    signed_in = False
    kind: ClassVar[str] = "terminal"

    @describes(
        request=MachineKeyRequest,
        answers={201: MachineEnrolled},
        problems=[organisations.TerminalCodeRefused, organisations.TerminalKeyTaken],
        examples=examples.MACHINE_KEY,
    )
    def post(self, request: Request) -> Response:
        """Enrol the key that signs this request, with a code from the administrator."""
        asked = self.read(MachineKeyRequest)
        machine = organisations.enrol_terminal(
            enrolment_code=asked["enrolment_code"], kind=self.kind, proof=self.proof, at=self.at
        )
        shown = {
            "id": machine.id,
            "scene": machine.scene,
            "name": {"zh": machine.name_zh, "en": machine.name_en},
            "organisation": {
                "zh": machine.organisation.name_zh,
                "en": machine.organisation.name_en,
            },
        }
        return Response({"machine": shown, "key_id": self.proof.thumbprint}, status=201)


class DepartmentKeys(TerminalKeys):
    """A department's system comes with a key of its own making."""

    audience = Audience.DEPARTMENT
    kind = "department"


class MerchantKeys(TerminalKeys):
    """A till, or a merchant's server, comes with a key of its own making."""

    audience = Audience.MERCHANT
    kind = "merchant"


class BankKeys(TerminalKeys):
    """A bank's system comes with a key of its own making."""

    audience = Audience.BANK
    kind = "bank"


class IssuerKeys(TerminalKeys):
    """An issuer's system comes with a key of its own making."""

    audience = Audience.ISSUER
    kind = "issuer"


class TerminalKeyRotations(Endpoint):
    """A terminal's next key takes over, without a moment in which none is good."""

    audience = Audience.TERMINAL

    @describes(
        request=KeyRotationRequest,
        answers={201: KeyRotated},
        idempotent=True,
        problems=[
            machine_keys.NextKeyInvalid,
            machine_keys.KeyNotCurrent,
            organisations.TerminalKeyTaken,
        ],
        examples=examples.ROTATION,
    )
    def post(self, request: Request) -> Response:
        """Enrol the next key, proven by both; the present one is good for 24 hours more."""
        asked = self.read(KeyRotationRequest)
        rotated = machine_keys.rotate(
            caller=self.caller,
            proof=asked["proof"],
            path=request.path,
            idempotency_key=self.idempotency(),
            at=self.at,
        )
        return Response(vars(rotated), status=201)


class DepartmentKeyRotations(TerminalKeyRotations):
    """A department's next key takes over."""

    audience = Audience.DEPARTMENT


class MerchantKeyRotations(TerminalKeyRotations):
    """A till's or merchant's next key takes over."""

    audience = Audience.MERCHANT


class BankKeyRotations(TerminalKeyRotations):
    """A bank's next key takes over."""

    audience = Audience.BANK


class IssuerKeyRotations(TerminalKeyRotations):
    """An issuer's next key takes over."""

    audience = Audience.ISSUER
