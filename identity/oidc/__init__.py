"""Logs residents in at relying parties: OpenID Connect, on the engine of django-oauth-toolkit.

`requests` takes a browser from the relying party to the phone and back with a code, `tokens`
answers the relying party itself, `engine` binds the toolkit to our rows, `claims` names what goes
over the wire. What the phone sees and signs stands in `identity.logins`.
"""
