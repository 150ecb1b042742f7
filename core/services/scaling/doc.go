// Package scaling says how many workers each pool needs. It only reads, so every coordinator can
// answer. The arithmetic is in core/domain (ScalePools).
package scaling
