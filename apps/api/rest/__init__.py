"""The REST edge at `/api/v1`: codecs and thin handlers; every rule lives in the services they
call.
"""
