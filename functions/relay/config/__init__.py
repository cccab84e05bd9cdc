"""What the relay was deployed with: settings made from the environment and the flat configuration beside the code.

`settings` has sources, routes and destinations; `expressions` evaluates the JMESPath of routes and transforms;
`secret_names` says what the secrets are called in Secrets Manager.
It imports verification's scheme rows, errors and the model, and reads no secret.
"""
