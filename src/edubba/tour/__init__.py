"""`edubba demo`: a walk through the rooms on pictures that ship with the package. The only module that combines rooms."""
