"""DynamoDB and S3 in memory, as boto3's clients show them: the same calls, the same answers, in every run.

Only what the relay asks of them is there; whatever else is asked is an error.  The suites `StoreConformance` and
`ExpressionConformance` hold it to what the real ones do.  Beside that it knows, as IAM does, what functions may write.
"""

from .calls import Calls, Crash, Fault
from .dynamodb import MemoryDynamoDB
from .roles import Denied
from .s3 import MemoryS3

__all__ = ["Calls", "Crash", "Denied", "Fault", "MemoryDynamoDB", "MemoryS3"]
