"""
The node for C{twistd -ny distributor.tac}: what C{twistd -n distributor} starts when no option is given.
"""

from twisted.application.service import Application

from distributor.tap import Options, makeService

options = Options()
options.parseOptions([])
application = Application("distributor")
makeService(options).setServiceParent(application)
