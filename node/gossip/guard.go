package gossip

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"github.com/hashicorp/memberlist"
)

// guard looks at what comes in before memberlist does. That trusts whoever has the cluster's gossip key, as each worker does, and a node that
// was removed until the key is replaced: one packet or stream of a form that no covey sends would end this process, or take all of its memory.
type guard struct{ keys atomic.Pointer[[][]byte] }

// What memberlist sends: the first byte of a message is its type, and that of what is encrypted how it is.
const (
	pingMessage = iota
	indirectPingMessage
	ackMessage
	suspectMessage
	aliveMessage
	deadMessage
	pushPullMessage
	compoundMessage
	userMessage
	_ // compressed, which no covey sends
	encryptedMessage
	nackMessage
	checksumMessage
	errorMessage

	// sealVersion is AES-GCM without padding. The version before has padding, at whose end memberlist does not look before it cuts it off.
	sealVersion   = 1
	sealOverhead  = 1 + nonceBytes + 16
	nonceBytes    = 12
	checksumBytes = 5 // with the type

	// streamHeader is the type of a stream, which is encrypted, and its length.
	streamHeader = 5
	// mostStreamBytes has room for the states of ten thousand nodes.
	mostStreamBytes = 8 << 20
	// idBytes are those of a node's ID, which is written as hexadecimal digits.
	idBytes = 16
)

var (
	errSeal = errors.New("it is not encrypted with the cluster's key")
	errForm = errors.New("no covey sends such a message")
)

// packet returns nil for one that memberlist may have.
func (g *guard) packet(data []byte) error {
	plain, err := g.open(data, nil)
	if err != nil {
		return err
	}
	if plain[0] == checksumMessage && len(plain) > checksumBytes {
		plain = plain[checksumBytes:]
	}
	if plain[0] != compoundMessage {
		return packetMessage(plain)
	}
	parts, err := compound(plain[1:])
	for _, part := range parts {
		err = errors.Join(err, packetMessage(part))
	}
	return err
}

// open decrypts what is never empty then.
func (g *guard) open(sealed, header []byte) ([]byte, error) {
	if len(sealed) <= sealOverhead || sealed[0] != sealVersion {
		return nil, errSeal
	}
	for _, key := range *g.keys.Load() {
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, err
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return nil, err
		}
		if plain, err := aead.Open(nil, sealed[1:1+nonceBytes], sealed[1+nonceBytes:], header); err == nil {
			return plain, nil
		}
	}
	return nil, errSeal
}

// compound are the messages that were sent as one.
func compound(data []byte) (parts [][]byte, err error) {
	if len(data) == 0 || len(data) < 1+2*int(data[0]) {
		return nil, errForm
	}
	lengths := data[1 : 1+2*int(data[0])]
	data = data[1+len(lengths):]
	for ; len(lengths) > 0; lengths = lengths[2:] {
		length := int(binary.BigEndian.Uint16(lengths))
		if length > len(data) {
			return nil, errForm
		}
		parts = append(parts, data[:length])
		data = data[length:]
	}
	return parts, nil
}

// packetMessage refuses the types that are for streams, and those that hold others: there may be no end of them.
func packetMessage(message []byte) error {
	if len(message) == 0 {
		return errForm
	}
	switch message[0] {
	case userMessage:
		return nil
	case pingMessage, indirectPingMessage, ackMessage, nackMessage, suspectMessage, aliveMessage, deadMessage:
		return whole(message[1:])
	}
	return errForm
}

// whole says whether a message has all that it says it has. Memberlist would take the memory for it first.
func whole(body []byte) error {
	return codec.NewDecoderBytes(body, &codec.MsgpackHandle{}).Decode(&struct{}{})
}

// stream reads the one message that comes over a connection, and returns it as it came. from is whose connection it is; unknown where it is empty.
func (g *guard) stream(conn io.Reader, from string) ([]byte, error) {
	data := &bytes.Buffer{}
	if _, err := io.CopyN(data, conn, streamHeader); err != nil {
		return nil, err // nothing at all is io.EOF
	}
	length := binary.BigEndian.Uint32(data.Bytes()[1:])
	if data.Bytes()[0] != encryptedMessage || length > mostStreamBytes {
		return nil, errSeal
	}
	if _, err := io.CopyN(data, conn, int64(length)); err != nil {
		return nil, fmt.Errorf("read a message of %d bytes: %w", length, err)
	}
	plain, err := g.open(data.Bytes()[streamHeader:], data.Bytes()[:streamHeader])
	if err != nil {
		return nil, err
	}
	switch plain[0] {
	case pingMessage, ackMessage, errorMessage:
		err = whole(plain[1:])
	case pushPullMessage:
		err = pushPull(plain[1:], from)
	default:
		err = errForm
	}
	if err != nil {
		return nil, fmt.Errorf("a message of type %d: %w", plain[0], err)
	}
	return data.Bytes(), nil
}

// pushHeader and pushState are what two nodes tell each other, as memberlist has them; what the delegate adds is behind that.
type (
	pushHeader struct {
		Nodes, UserStateLen int
		Join                bool
	}
	pushState struct {
		Name        string
		Addr        []byte
		Port        uint16
		Meta        []byte
		Incarnation uint32
		State       int
		Vsn         []uint8
	}
)

func pushPull(body []byte, from string) error {
	dec := codec.NewDecoderBytes(body, &codec.MsgpackHandle{})
	var header pushHeader
	if err := dec.Decode(&header); err != nil {
		return err
	}
	for range header.Nodes {
		var s pushState
		if err := dec.Decode(&s); err != nil {
			return err
		}
		if !isID(s.Name) {
			return fmt.Errorf("%w: %.40q is no node", errForm, s.Name)
		}
	}
	rest := body[dec.NumBytesRead():]
	if header.Nodes < 0 || header.UserStateLen != len(rest) {
		return errForm
	}
	var own state
	if json.Unmarshal(rest, &own) == nil && from != "" && own.ID != "" && own.ID != from {
		return fmt.Errorf("%w: node %s speaks for node %.40q", errForm, from, own.ID)
	}
	return nil
}

func isID(name string) bool {
	if len(name) != 2*idBytes {
		return false
	}
	for _, c := range []byte(name) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// checked is a connection from which memberlist reads what the guard has let through.
type checked struct {
	net.Conn
	guard   *guard
	from    string
	message *bytes.Reader // nil until the first Read
	err     error         // of that
}

// Read implements net.Conn.
func (c *checked) Read(p []byte) (int, error) {
	if c.message == nil {
		var message []byte
		message, c.err = c.guard.stream(c.Conn, c.from)
		c.message = bytes.NewReader(message)
	}
	if c.err != nil {
		return 0, c.err
	}
	return c.message.Read(p)
}

// NotifyAlive implements memberlist.AliveDelegate: it refuses nodes that cannot be. One of another version of memberlist's protocol, or with more
// metadata than there is room for, would keep the others from comparing what they know.
func (d delegate) NotifyAlive(n *memberlist.Node) error {
	address := virtual(n.Name).AsSlice()
	if !isID(n.Name) || !bytes.Equal(n.Addr, address) || len(n.Meta) > memberlist.MetaMaxSize {
		return errForm
	}
	current := d.settings.ProtocolVersion
	if n.PCur != current || n.PMin > current || n.PMax < current || n.DMin > 0 || n.DCur > 0 {
		return errForm
	}
	return nil
}

var _ memberlist.AliveDelegate = delegate{}
