"""Serializers that take nothing for granted: no unknown member, no number dressed as a text."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from django.core.validators import ProhibitNullCharactersValidator
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail
from rest_framework.validators import ProhibitSurrogateCharactersValidator

from vpass.common.api.parsing import is_clean
from vpass.common.errors import BadRequest

_TEXT_FIELDS = (
    serializers.CharField,
    serializers.ChoiceField,
    serializers.UUIDField,
    serializers.DateField,
    serializers.DateTimeField,
    serializers.TimeField,
)
_ONE_LINE_BREAKERS = ("\t", "\n", "\r")
_INTEGER = re.compile(r"-?[0-9]+")  # DRF would read "１", " 1" and "1.0" as well


class StrictSerializer(serializers.Serializer[Any]):
    """A JSON object with the declared members only, each of its own JSON type.

    Plain DRF would read "5" as a number and 5 as a text. A text is one line, unless its field is
    declared with `style={"multiline": True}`. Error codes beyond DRF's: unknown, wrong_type,
    control_character.
    """

    def to_internal_value(self, data: Any) -> Any:
        """The values by member; raises ValidationError."""
        if not isinstance(data, Mapping):
            raise serializers.ValidationError({"": [_detail("wrong_type")]})
        errors = {str(name)[:64]: [_detail("unknown")] for name in data if name not in self.fields}
        for name, field in self.fields.items():
            if name in data and data[name] is not None and (code := _fault(field, data[name])):
                errors[name] = [_detail(code)]
        if errors:
            raise serializers.ValidationError(errors)
        return super().to_internal_value(data)


class QuerySerializer(StrictSerializer):
    """The parameters of a URL: the declared ones only, each at most once, all of them texts."""

    def to_internal_value(self, data: Any) -> Any:
        """The values by parameter; raises ValidationError."""
        errors = {str(name)[:64]: [_detail("unknown")] for name in data if name not in self.fields}
        for name in data:
            if len(data.getlist(name)) > 1:
                errors[name] = [_detail("repeated")]
            elif not is_clean(data[name]):
                errors[name] = [_detail("control_character")]
            elif _is_integer(self.fields.get(name)) and not _INTEGER.fullmatch(data[name]):
                errors[name] = [_detail("invalid")]
        if errors:
            raise serializers.ValidationError(errors)
        # DRF reads numbers from texts by itself; a plain dict keeps it from HTML form rules.
        return serializers.Serializer.to_internal_value(self, dict(data.items()))


def read_into(serializer: type[serializers.Serializer[Any]], data: Any) -> dict[str, Any]:
    """What a serializer of this class reads from `data`; raises BadRequest as `validated` does.

    DRF copies every field of a class for each object. Reading leaves nothing behind in them, so
    one object serves all requests.
    """
    try:
        values: dict[str, Any] = _reader(serializer).run_validation(data)
    except serializers.ValidationError as error:
        raise BadRequest(errors=field_errors(error.detail)) from error
    return values


@cache
def _reader(serializer: type[serializers.Serializer[Any]]) -> serializers.Serializer[Any]:
    reader = serializer()
    for field in reader.fields.values():
        # Slow, and asked before: whatever comes here was read strictly (encodings, is_clean).
        field.validators = [each for each in field.validators if not _is_about_letters(each)]
    return reader


def _is_about_letters(validator: Any) -> bool:
    return isinstance(
        validator, ProhibitSurrogateCharactersValidator | ProhibitNullCharactersValidator
    )


def validated(serializer: serializers.BaseSerializer[Any]) -> dict[str, Any]:
    """What `serializer` read; raises BadRequest with `errors` [{"field": "a.b", "code"}]."""
    if not serializer.is_valid():
        raise BadRequest(errors=field_errors(serializer.errors))
    values: dict[str, Any] = serializer.validated_data
    return values


def field_errors(errors: Any, path: str = "") -> list[dict[str, str]]:
    """DRF's tree of errors as a flat list of {"field", "code"}; messages stay behind, since they
    may quote what was sent."""
    if isinstance(errors, Mapping):
        return [
            told
            for name, below in errors.items()
            for told in field_errors(below, _joined(path, str(name)))
        ]
    if isinstance(errors, list | tuple):
        is_by_item = any(isinstance(item, Mapping | list) for item in errors)
        return [
            told
            for number, item in enumerate(errors)
            for told in field_errors(item, _joined(path, str(number)) if is_by_item else path)
        ]
    return [{"field": path, "code": str(getattr(errors, "code", "invalid"))}]


def _joined(path: str, name: str) -> str:
    if name == "non_field_errors" or not name:
        return path
    return f"{path}.{name}" if path else name


def _fault(field: serializers.Field[Any, Any, Any, Any], value: Any) -> str | None:
    if isinstance(field, serializers.MultipleChoiceField):
        return None if isinstance(value, list) else "wrong_type"
    if isinstance(field, _TEXT_FIELDS):
        return _text_fault(field, value)
    if isinstance(field, serializers.BooleanField):
        return None if isinstance(value, bool) else "wrong_type"
    if isinstance(field, serializers.IntegerField):
        return None if type(value) is int else "wrong_type"
    if isinstance(field, serializers.FloatField):
        return None if type(value) in (int, float) else "wrong_type"
    if isinstance(field, serializers.DecimalField):
        return None if type(value) in (int, str) else "wrong_type"
    if isinstance(field, serializers.ListField):
        if not isinstance(value, list):
            return "wrong_type"
        faults = (_fault(field.child, item) for item in value if item is not None)
        return next((fault for fault in faults if fault), None)
    return None


def _text_fault(field: serializers.Field[Any, Any, Any, Any], value: Any) -> str | None:
    if not isinstance(value, str):
        return "wrong_type"
    is_multiline = bool(field.style.get("multiline"))
    if not is_multiline and any(mark in value for mark in _ONE_LINE_BREAKERS):
        return "control_character"
    return None


def _is_integer(field: serializers.Field[Any, Any, Any, Any] | None) -> bool:
    return isinstance(field, serializers.IntegerField)


def _detail(code: str) -> Any:
    return ErrorDetail(code, code=code)
