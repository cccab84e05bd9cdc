"""The whole relay on one machine: `dev` starts it, `demo` tells its story.

`aws` is the local AWS, `qstash` the local QStash, `sources` and `destinations` the two ends, `processes` what keeps
programs from outliving their owner.
"""
