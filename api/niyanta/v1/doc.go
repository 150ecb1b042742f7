// Package niyantav1 holds the messages of the gRPC services, generated from the .proto files beside
// it. Package niyantav1connect below has their clients.
package niyantav1

//go:generate protogen -I api protoc-gen-go protoc-gen-connect-go
