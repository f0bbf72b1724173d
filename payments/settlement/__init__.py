"""Pays merchants what a settlement window brought them: close, net, approve, pay, acknowledge.

`windows` turns the windows, `netting` adds up, `payouts` sends each merchant's net to its bank, and
`payments.proposals` has two people stand behind what cannot be taken back.
"""
