//! One ContainerGroup from a specification; every deployment form is an emitter over it.
