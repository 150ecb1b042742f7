// Package oidc verifies the tokens of an OpenID Connect provider. It finds the provider's keys by
// its discovery document, keeps them, and reads them again now and then and when a token names
// another one. It accepts signatures by RSA, ECDSA and Ed25519 only.
package oidc
