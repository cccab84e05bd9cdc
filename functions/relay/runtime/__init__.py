"""Lambda and AWS around the relay: requests and logs, metrics, clients, secrets, threads, and how long a run may take.

`aws` is the only module that makes clients of boto3.  It imports errors and the model.
"""
