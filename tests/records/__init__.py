"""What each released form of injection left: by version of the record, templates before and after."""
