"""The local AWS, for the relay on one machine.

`server` starts it, `deploy` deploys the CDK app into it, `differences` lists how its stack differs from the one on AWS.
"""
