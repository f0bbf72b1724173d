"""The outside world, for demonstrations and tests: `python -m vpass.sandbox`.

One process on 127.0.0.1 that plays the systems V Pass talks to, each at a path of its own and each
written from its protocol page under `docs/` alone. It imports no app and not `vpass.common`, and
signs with an independent library, so that a misreading on one side cannot hide on the other.

Environment: `VPASS_SANDBOX_DIR` (required) holds `register_private.pem`, `bank_private.pem`,
`issuers_private.pem` and `vpass_public.pem`, and gets the bank's books, `bank.sqlite3`; `VPASS_SANDBOX_PORT` (default 0: any
free one); `VPASS_URL`, where the bank sends its notices (without it they wait) and the register its
events; `liveness_private.pem`, `liveness_subject_key.txt` and `phone_maker_private.pem`, if they are
there, are the keys of the face checking service and of the maker of phones;
`VPASS_SANDBOX_CALLER_KEY_ID` (default `vpass-1`), `VPASS_SANDBOX_REGISTER_KEY_ID` (default
`register-1`), `VPASS_SANDBOX_BANK_KEY_ID` (default `bank-1`),
`VPASS_SANDBOX_ISSUERS_KEY_ID` (default `issuers-1`); `VPASS_SANDBOX_BANK_BOOKS_AFTER_S`
(default 2: seconds from the acceptance of a payout or debit to its booking).
When it is ready it prints one JSON line and writes the same to `<dir>/sandbox.json`:
`{"url", "port", "pid", "register_url", "sms_url", "bank_url", "issuers_url", "liveness_url"}`. SIGTERM and SIGINT end it.

Faults, from the same machine only: `POST /faults` with a JSON object of `site` ("register", "sms",
"bank", "issuers"; "bank_notices" with the modes of docs/bank-protocol.md), `mode`, and optionally `count` (requests spoiled, default 1), `seconds` (0 to 60) and `variant`;
`GET /faults` lists what is still to come, `DELETE /faults` clears it. The modes:

| mode | what the caller meets |
|---|---|
| delay | the answer, `seconds` late (default 5) |
| reset | a TCP reset; nothing was done |
| lost_reply | the work is done, then the connection closes without an answer |
| truncated | the work is done, then half the answer |
| http_500 | status 500; nothing was done |
| nonsense | status 200 with rubbish; variants garbage, not_json, not_object, repeated_member, wrong_shape, extra_member, wrong_id, other_name (in turn unless named) |
| bad_signature | a signature that is wrong; variants flipped, digest, old, early, key_id, not_tied, two |
| unsigned | the right answer without a signature |
| replayed | an earlier answer to another question, well signed |
| redirect | status 302 to another path |
| duplicate | the request handled twice, as if the net had doubled it, and both answers sent |
| trickle | the answer, a byte each `seconds` (default 0.5) from the first byte of the head on |
| huge | an answer of 10 MiB; variants length, chunked |
| too_many | status 429 with `Retry-After` of `seconds` (default 7) |
"""  # noqa: E501 (a table reads badly when broken)
