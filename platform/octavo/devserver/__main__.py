"""`python -m octavo.devserver`: what `manage.py up` becomes, without a loaded Django."""

import sys

from octavo.devserver.supervisor import main

sys.exit(main())
