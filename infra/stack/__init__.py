"""The CDK constructs, each named for its part of the relay; `stack` puts them together.

Nothing but `infra.app`, the local deploy and tests imports it; it imports `infra.config`.
"""
