"""What each verb does. `iv3/cli/main.py` declares them; a module here is imported only when its verb is called, so that
`iv3 --help` stays quick.
"""
