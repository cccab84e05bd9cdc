"""relay.toml: what may stand in it, every mistake in it, and the flat configuration that the functions get.

`load` is the face.  `models` says what there is, `lint` what is likely to be meant otherwise, `plan_limits` what the
QStash plan allows, `flatten` what the functions are handed, `json_schema` what an editor is told.  No CDK here, and of
the local QStash only its language.
"""
