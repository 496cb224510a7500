"""Names of the event types.

Standard library only: the Lambda functions of the AWS stack share this module.
"""

from __future__ import annotations

RUN = "Brewhouse Run State Change"
JOB = "Glue Job State Change"
CHECK = "Brewhouse Check Result"
DRIFT = "Brewhouse Schema Drift"
PUBLISHED = "Brewhouse Tables Published"
SCHEDULE = "Brewhouse Schedule"
WARNING = "Brewhouse Warning"
ALERT_SENT = "Brewhouse Alert Sent"
ALERT_FAILED = "Brewhouse Alert Failed"
CRAWL = "Glue Crawler State Change"
