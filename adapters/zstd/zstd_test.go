package zstd_test

import (
	"bytes"
	"crypto/rand"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/zstd"
	"github.com/niyanta/niyanta/core/domain"
)

func TestCompressor_WhatItEncodes_ItDecodes(t *testing.T) {
	z, err := zstd.New()
	require.NoError(t, err)
	noise := make([]byte, 5000)
	_, _ = rand.Read(noise)
	for name, c := range map[string]struct {
		data     []byte
		encoding string
	}{
		"nothing":                  {nil, ""},
		"up to 1 KiB stays":        {bytes.Repeat([]byte("a"), 1<<10), ""},
		"above it shrinks":         {bytes.Repeat([]byte("a"), 1<<10+1), "zstd"},
		"what would grow stays":    {noise, ""},
		"the largest there may be": {make([]byte, domain.MaxInlineCheckpoint), "zstd"},
	} {
		stored, encoding := z.Encode(c.data)
		assert.Equal(t, c.encoding, encoding, name)
		assert.LessOrEqual(t, len(stored), len(c.data), name)
		got, err := z.Decode(stored, encoding, len(c.data))
		require.NoError(t, err, name)
		assert.True(t, bytes.Equal(c.data, got), name)
	}
}

func TestCompressor_WhenDataIsBroken_FailsToDecode(t *testing.T) {
	z, err := zstd.New()
	require.NoError(t, err)
	data := bytes.Repeat([]byte("abcdefgh"), 1000)
	stored, encoding := z.Encode(data)
	for name, try := range map[string]func() ([]byte, error){
		"cut off":          func() ([]byte, error) { return z.Decode(stored[:len(stored)/2], encoding, len(data)) },
		"another size":     func() ([]byte, error) { return z.Decode(stored, encoding, len(data)-1) },
		"unknown encoding": func() ([]byte, error) { return z.Decode(stored, "lzma", len(data)) },
		"not compressed":   func() ([]byte, error) { return z.Decode(data, encoding, len(data)) },
	} {
		_, err := try()
		require.Error(t, err, name)
	}
	bomb, _ := z.Encode(make([]byte, 64<<20))
	_, err = z.Decode(bomb, "zstd", 64<<20)
	assert.Error(t, err, "nothing stored may unfold to more than a checkpoint's size")
}
