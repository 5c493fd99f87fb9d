//! Every cryptographic operation of the clean room behind one small surface.
