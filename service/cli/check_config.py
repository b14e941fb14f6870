"""`longstream check-config`: show what the configuration resolves to."""

import typer

from service.cli.options import ConfigFile, DataDir, Host, Models, Port


def check_config(
    config: ConfigFile = None,
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
    models: Models = None,
) -> None:
    """Print the resolved configuration as YAML; exit with 1 if the service could not start with it.

    Command line goes before LONGSTREAM_* variables, before the file, before defaults. What it prints is a
    valid configuration file, but for the password of a store, which it does not show.
    """
    import yaml  # noqa: PLC0415 - commands import when they run

    from models.errors import WeightsError  # noqa: PLC0415
    from models.loading import check_model  # noqa: PLC0415
    from service.access.door import open_door  # noqa: PLC0415
    from service.config import load_config  # noqa: PLC0415
    from service.errors import ConfigError  # noqa: PLC0415

    settings = load_config(config, host=host, port=port, data_dir=data_dir, serve_models=models)
    open_door(settings.auth, settings.quotas, settings.host)
    for model in settings.served:
        try:
            check_model(model.attention, model.weights, model.adapter)
        except WeightsError as error:
            raise ConfigError(f"model {model.id}: {error}") from error
    shown = settings.model_dump(mode="json")
    shown["sessions"]["store"] = settings.sessions.shown_store
    text = yaml.safe_dump(shown, sort_keys=False, allow_unicode=True)
    typer.echo(text, nl=False)
