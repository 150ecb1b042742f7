// Package blob implements ports.BlobStore in a folder of a file system, and on object storages that
// speak S3. See docs/decisions/0024-blob-storage.md.
//
// In a folder, the key of a value is the path of its file. A value is written to a temporary file,
// synchronized with the disk and renamed. Several processes may share the folder. With S3, a key is
// that of an object, behind the prefix that the URL names.
package blob
