"""What the models that hold other models have in common."""

import keras


def refuse_unknown_shapes(**models):
    """Refuse models whose shapes are not known before they are called."""
    for name, model in models.items():
        if not hasattr(model, "output_shape"):
            raise ValueError(
                f"the shapes of {name} are not known; expected a model that starts with "
                "keras.Input, such as keras.Model(x, layer(x)) for a layer or model of any kind"
            )


def revive(config, custom_objects, *names):
    """Return a configuration with these of its entries made into models again."""
    models = {
        name: keras.saving.deserialize_keras_object(config[name], custom_objects) for name in names
    }
    return {**config, **models}
