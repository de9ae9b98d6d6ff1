package batch

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
)

// Seal closes batches so that only those who share a secret can read them, or make others that are
// taken for theirs. One that is nil leaves batches as they are.
type Seal struct{ aead cipher.AEAD }

// sealed is the first byte of a batch that is sealed.
const sealed = 0x81

// MinSecret is how long a secret is at least, in bytes.
const MinSecret = 16

var errSeal = errors.New("batch: sealed with another secret, altered, or not sealed")

// NewSeal returns the seal of a secret.
func NewSeal(secret []byte) (*Seal, error) {
	if len(secret) < MinSecret {
		return nil, fmt.Errorf("batch: a secret of %d bytes: want %d at least", len(secret), MinSecret)
	}
	key, err := hkdf.Key(sha256.New, secret, nil, "preload batch", 32)
	if err != nil {
		return nil, fmt.Errorf("batch: deriving a key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("batch: making a cipher: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("batch: making a cipher: %w", err)
	}
	return &Seal{aead}, nil
}

// Close seals a batch.
func (s *Seal) Close(b []byte) []byte {
	if s == nil {
		return b
	}
	head := []byte{sealed}
	return s.aead.Seal(head, nil, b, head)
}

// Open returns the batch that was sealed. An error means that anything may have changed.
func (s *Seal) Open(b []byte) ([]byte, error) {
	switch {
	case s == nil:
		return b, nil
	case len(b) == 0 || b[0] != sealed || len(b) > 2*MaxBytes:
		return nil, errSeal
	}
	plain, err := s.aead.Open(nil, nil, b[1:], b[:1])
	if err != nil {
		return nil, errSeal
	}
	return plain, nil
}
