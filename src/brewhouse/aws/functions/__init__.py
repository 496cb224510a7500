"""The functions of the stack, for AWS Lambda: they need the standard library, and boto3, which Lambda has."""
