package gossip

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"github.com/hashicorp/memberlist"
)

// seal encrypts as memberlist does, in that version of its form.
func seal(t *testing.T, key []byte, version byte, text, header []byte) []byte {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	nonce := make([]byte, nonceBytes)
	_, _ = rand.Read(nonce)
	return aead.Seal(append([]byte{version}, nonce...), nonce, text, header)
}

// frame is a stream's one message.
func frame(t *testing.T, key []byte, version byte, text []byte) []byte {
	t.Helper()
	header := binary.BigEndian.AppendUint32([]byte{encryptedMessage}, uint32(sealOverhead+len(text))) //nolint:gosec // it is short
	return append(header, seal(t, key, version, text, header)...)
}

// packed is a message of that type, as memberlist writes it.
func packed(t *testing.T, kind byte, parts ...any) []byte {
	t.Helper()
	out := bytes.NewBuffer([]byte{kind})
	enc := codec.NewEncoder(out, &codec.MsgpackHandle{})
	for _, part := range parts {
		if raw, ok := part.([]byte); ok {
			out.Write(raw)
		} else if err := enc.Encode(part); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

var (
	padding = bytes.Repeat([]byte{0xff}, 16) // more than there is
	// endless says to have a field of nearly 2 GiB.
	endless = []byte{0x81, 0xa1, 'x', 0xc9, 0x7f, 0xff, 0xff, 0xff, 5}
)

// TestForgedPacketsEndNoNode sends packets with the cluster's key that would end the process.
func TestForgedPacketsEndNoNode(t *testing.T) {
	a := run(t, nil, "a", filepath.Join(t.TempDir(), "peers"))
	key := a.id.Keys().Gossip[0].Key
	ping := packed(t, pingMessage, map[string]any{"SeqNo": uint32(7), "Node": ""})
	conn, err := net.Dial("udp", a.address())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	for _, packet := range [][]byte{
		seal(t, key, 0, padding, nil), seal(t, key, 0, nil, nil), seal(t, key, 0, ping, nil), seal(t, key, 1, nil, nil),
		append([]byte{244, 1, 'x'}, seal(t, key, 0, padding, []byte("x"))...),
		seal(t, key, 1, append([]byte{aliveMessage}, endless...), nil),
		seal(t, key, 1, append([]byte{9}, endless...), nil),
	} {
		if _, err := conn.Write(packet); err != nil {
			t.Fatal(err)
		}
	}
	_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	if _, err := conn.Write(seal(t, key, 1, ping, nil)); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, packetBytes)
	n, err := conn.Read(answer)
	if err != nil {
		t.Fatalf("a packet of the right form: %v", err)
	}
	if err := a.guard.packet(answer[:n]); err != nil {
		t.Errorf("its answer: %v", err)
	}
}

// TestForgedStreamsEndNoNode makes the same by streams: of a worker, say, and in its answer to one.
func TestForgedStreamsEndNoNode(t *testing.T) {
	a := run(t, nil, "a", filepath.Join(t.TempDir(), "peers"))
	b := run(t, a.id, "b", filepath.Join(t.TempDir(), "peers"), a.address())
	b.sees(t, "a", "b")
	key := a.id.Keys().Gossip[0].Key
	for _, data := range [][]byte{frame(t, key, 1, nil), frame(t, key, 0, padding), frame(t, key, 1, append([]byte{pushPullMessage}, endless...))} {
		conn, err := b.cfg.Dial(t.Context(), []string{a.address()}, a.id.NodeID())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
		_, _ = conn.Write(data)
		if rest, err := io.ReadAll(conn); len(rest) > 0 {
			t.Errorf("%v is answered with %d bytes (%v)", data, len(rest), err)
		}
		_ = conn.Close()
	}
	if n, err := b.list.Join([]string{a.address()}); n != 1 {
		t.Error(err)
	}
	evil, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = evil.Close() }()
	go func() {
		if conn, err := evil.Accept(); err == nil {
			_, _ = conn.Write(frame(t, key, 1, nil))
			_, _ = io.Copy(io.Discard, conn)
		}
	}()
	conn, err := net.Dial("tcp", evil.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if n, err := a.transport.checked(conn).Read(make([]byte, 1)); n > 0 || err == nil {
		t.Error("an empty answer is read")
	}
}

func TestWhatTheGuardLetsThrough(t *testing.T) {
	key := make([]byte, 32)
	g := &guard{}
	g.keys.Store(&[][]byte{bytes.Repeat([]byte{1}, 32), key})
	me, other := strings.Repeat("0a", 16), strings.Repeat("0b", 16)
	ping := packed(t, pingMessage, map[string]any{"SeqNo": 1})
	says := func(id string) []byte {
		data, _ := json.Marshal(state{ID: id, Time: time.Unix(1<<31, 0)})
		return data
	}
	pushed := func(nodes, length int, own []byte, names ...string) []byte {
		parts := []any{pushHeader{Nodes: nodes, UserStateLen: length}}
		for _, name := range names {
			parts = append(parts, pushState{Name: name, Meta: []byte("{}")})
		}
		return packed(t, pushPullMessage, append(parts, own)...)
	}
	many := func(parts ...[]byte) []byte {
		all := []byte{compoundMessage, byte(len(parts))}
		for _, part := range parts {
			all = binary.BigEndian.AppendUint16(all, uint16(len(part))) //nolint:gosec // it is short
		}
		return append(all, bytes.Join(parts, nil)...)
	}
	own := says(me)
	for name, test := range map[string]struct {
		text   []byte
		packet bool // it may be one, and else a stream
		stream bool
	}{
		"ping":                        {ping, true, true},
		"with a checksum":             {append([]byte{checksumMessage, 1, 2, 3, 4}, ping...), true, false},
		"a checksum of nothing":       {[]byte{checksumMessage, 1, 2, 3, 4}, false, false},
		"many":                        {many(ping, ping), true, false},
		"none of many":                {many(), true, false},
		"many in many":                {many(many(ping)), false, false},
		"many that are cut off":       {many(ping)[:6], false, false},
		"many without their number":   {[]byte{compoundMessage}, false, false},
		"nothing in many":             {many(nil), false, false},
		"a call":                      {append([]byte{userMessage}, "{}"...), true, false},
		"compressed":                  {packed(t, 9, map[string]any{"Algo": 0, "Buf": []byte{}}), false, false},
		"half a ping":                 {ping[:5], false, false},
		"an alive with an endless":    {append([]byte{aliveMessage}, endless...), false, false},
		"an error":                    {packed(t, errorMessage, map[string]string{"Error": "x"}), false, true},
		"state":                       {pushed(2, len(own), own, me, other), false, true},
		"state without the delegate":  {pushed(1, 0, nil, me), false, true},
		"another's state":             {pushed(1, len(says(other)), says(other), me), false, false},
		"another's state, and more":   {pushed(1, len(own), append(says(other), own...), me), false, false},
		"more nodes than there are":   {pushed(3, len(own), own, me, other), false, false},
		"less than no node":           {pushed(-1, len(own), own), false, false},
		"a node that is none":         {pushed(1, 0, nil, "x"), false, false},
		"nodes that are nothing":      {pushed(3, 0, bytes.Repeat([]byte{0xc0}, 3)), false, false},
		"more state than there is":    {pushed(1, 1<<24, own, me), false, false},
		"less state than there is":    {pushed(1, 1, own, me), false, false},
		"another encryption in there": {frame(t, key, 0, padding), false, false},
	} {
		if err := g.packet(seal(t, key, 1, test.text, nil)); (err == nil) != test.packet {
			t.Errorf("%s in a packet: %v", name, err)
		}
		sent := frame(t, key, 1, test.text)
		got, err := g.stream(bytes.NewReader(sent), me)
		if (err == nil) != test.stream || err == nil && !bytes.Equal(got, sent) {
			t.Errorf("%s in a stream: %v", name, err)
		}
	}
	if err := g.packet(seal(t, bytes.Repeat([]byte{1}, 32), 1, ping, nil)); err != nil {
		t.Errorf("with the other key: %v", err)
	}
	if err := g.packet(seal(t, bytes.Repeat([]byte{2}, 32), 1, ping, nil)); err == nil {
		t.Error("a stranger's packet is let through")
	}
	if _, err := g.stream(bytes.NewReader(nil), me); !errors.Is(err, io.EOF) {
		t.Errorf("a connection that says nothing: %v", err)
	}
	if _, err := g.stream(io.MultiReader(bytes.NewReader([]byte{encryptedMessage, 255, 255, 255, 255}), neverEnds{t}), me); err == nil {
		t.Error("4 GiB are read")
	}
}

// neverEnds is not to be read.
type neverEnds struct{ t *testing.T }

func (n neverEnds) Read([]byte) (int, error) {
	n.t.Error("it is read")
	return 0, io.EOF
}

// TestNodesThatCannotBeAreIgnored has one that speaks another version keep no others apart.
func TestNodesThatCannotBeAreIgnored(t *testing.T) {
	g := &Gossip{settings: memberlist.DefaultLANConfig()}
	id := strings.Repeat("0a", 16)
	good := memberlist.Node{Name: id, Addr: virtual(id).AsSlice(), Meta: []byte("{}"), PMin: 1, PMax: 5, PCur: 2}
	for i, test := range []struct {
		change func(*memberlist.Node)
		want   bool
	}{
		{func(*memberlist.Node) {}, true},
		{func(n *memberlist.Node) { n.PMax = 6 }, true},
		{func(n *memberlist.Node) { n.PMin, n.PMax, n.PCur = 200, 255, 200 }, false},
		{func(n *memberlist.Node) { n.PMax = 1 }, false},
		{func(n *memberlist.Node) { n.PCur = 5 }, false},
		{func(n *memberlist.Node) { n.DMin, n.DMax, n.DCur = 1, 1, 1 }, false},
		{func(n *memberlist.Node) { n.Meta = make([]byte, 513) }, false},
		{func(n *memberlist.Node) { n.Addr = net.IPv4(10, 0, 0, 1) }, false},
		{func(n *memberlist.Node) { n.Name = "x" }, false},
		{func(n *memberlist.Node) { n.Name = strings.ToUpper(id) }, false},
	} {
		n := good
		test.change(&n)
		if err := (delegate{g}).NotifyAlive(&n); (err == nil) != test.want {
			t.Errorf("%d: %s", i, fmt.Sprint(err))
		}
	}
}
