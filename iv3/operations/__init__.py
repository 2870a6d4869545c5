"""Work that several verbs, or the doctor, share."""
