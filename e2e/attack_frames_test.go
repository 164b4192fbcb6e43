package e2e

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/tls"
	"io"
	"testing"
	"time"

	"covey.dev/covey/e2e/harness"
)

// malformedFramesOfNodesAreRefused is what a node with a good certificate, and something wrong with it, would send.
func malformedFramesOfNodesAreRefused(t *testing.T, n *harness.Node) {
	cert := stolenCA(t, n).issue(t, "system:node:node-9", servers)
	noise := make([]byte, 64<<10)
	_, _ = rand.Read(noise)
	huge := map[string]string{
		"array": "\xdd\xff\xff\xff\xff", "map": "\xdf\xff\xff\xff\xff", "text": "\xdb\xff\xff\xff\xff", "bytes": "\xc6\xff\xff\xff\xff",
		// An entry that says it has 4 GiB.
		"entry": "\x81\xa7Entries\x91\x81\xa4Data\xc6\xff\xff\xff\xff",
		"deep":  string(repeat(0x91, 60<<10)),
	}
	for _, proto := range nodeProtocols {
		for first := range 12 { // the types of Raft's requests, of the gossip's messages, and some that are none
			for _, frame := range huge {
				send(t, n, cert, proto, string(rune(first))+frame)
			}
			send(t, n, cert, proto, string(rune(first))+string(noise))
		}
		send(t, n, cert, proto, string(noise))
	}
}

func repeat(b byte, times int) []byte {
	many := make([]byte, times)
	for i := range many {
		many[i] = b
	}
	return many
}

// send writes a frame and ends the connection.
func send(t *testing.T, n *harness.Node, cert *tls.Certificate, proto, frame string) {
	t.Helper()
	raw := n.Dial(t, "tcp", harness.Address)
	defer func() { _ = raw.Close() }()
	_ = raw.SetDeadline(time.Now().Add(answerTime))
	conn := tls.Client(raw, tlsConfig(cert, proto))
	if err := conn.Handshake(); err != nil {
		t.Fatalf("%s: %v", proto, err)
	}
	_, _ = io.WriteString(conn, frame) // may be cut off in the middle
	_ = conn.CloseWrite()
	_, _ = io.Copy(io.Discard, conn)
}

// strangersPacketsAreDropped sends gossip that was not encrypted with the cluster's key.
func strangersPacketsAreDropped(t *testing.T, n *harness.Node) {
	ping := []byte("\x00\x82\xa5SeqNo\x01\xa4Node\xa0") // memberlist's, to whoever is there
	key := stolenKeys(t, n).Gossip[0].Key
	other := make([]byte, len(key))
	_, _ = rand.Read(other)
	noise := make([]byte, 60<<10)
	_, _ = rand.Read(noise)
	conn := n.Dial(t, "udp", harness.Address)
	answered := func(packet []byte, within time.Duration) bool {
		if _, err := conn.Write(packet); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(within))
		_, err := conn.Read(make([]byte, 1<<16))
		return err == nil
	}
	for name, packet := range map[string][]byte{
		"plain text": ping, "plain text with a checksum": append([]byte{12, 0x5e, 0x8b, 0x42, 0x1a}, ping...), "another key": encrypted(t, other, ping),
		"nothing": {}, "one byte": {1}, "noise": noise, "a cut-off packet": encrypted(t, key, ping)[:20], "a label": append([]byte{244, 5, 'o', 't', 'h', 'e', 'r'}, ping...),
		"a label that is cut off": {244, 255, 'x'}, "compressed without end": append([]byte{9}, noise...),
	} {
		if answered(packet, time.Second) {
			t.Errorf("%s was answered", name)
		}
	}
	for first := range 16 { // with the key, and malformed all the same
		_, _ = conn.Write(encrypted(t, key, append([]byte{byte(first)}, noise[:1000]...)))
	}
	// The right key is answered, or the test would find nothing.
	for range 20 {
		if answered(encrypted(t, key, ping), 3*time.Second) {
			return
		}
	}
	t.Error("a packet with the cluster's key was not answered")
}

// encrypted is memberlist's form: the version 1, a nonce, and AES-GCM.
func encrypted(t *testing.T, key, text []byte) []byte {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	nonce := make([]byte, gcm.NonceSize())
	_, _ = rand.Read(nonce)
	return gcm.Seal(append([]byte{1}, nonce...), nonce, text, nil)
}
