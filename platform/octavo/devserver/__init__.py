"""`manage.py up`: the whole platform on one machine, servers of its own included."""
