"""The Lambda functions of the stack; they import the standard library and boto3, which Lambda provides, alone."""
