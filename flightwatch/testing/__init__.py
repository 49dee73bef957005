"""The fakes that tests and the demo use, shipped so that anybody can: a clock, a sky, a feed server, a Slack, a mail
server.

All servers listen on the loopback address alone. Nothing here is imported by the program itself but by `flightwatch
demo`.

    clock   a clock that runs as fast as it is asked
    world   made-up flights through real places, with the holes that real coverage has, and the truth about them; seeded
    feed    serves a world in the v2 format
    files   serves files as storage does, in parts and with broken lines
    slack   a Slack workspace of one channel
    mail    a mail server that keeps what it gets
"""
