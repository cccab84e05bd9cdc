"""What deploys the relay: `app` is the CDK app, over `stack` and `config`; `local` runs it all on one machine.

`docs` writes the pages that are made of the code.  The functions import nothing of it.
"""
