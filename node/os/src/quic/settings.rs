//! How QUIC is set, each with its reason. The figures are of two cores and the loopback device,
//! both ends in one process; with plain TCP's CPU time as 1, the defaults cost 6.9.

use std::sync::Arc;

use node_base::Duration;
use node_base::limits::MESSAGE_MAX;
use node_world::Class;
use quinn::VarInt;
use quinn::congestion::CubicConfig;
use quinn::{AckFrequencyConfig, IdleTimeout, MtuDiscoveryConfig, TransportConfig};

/// How much of one message may be on its way unread: a chunk, so that none of any size stops and
/// waits for a window to open.
const STREAM_WINDOW: u32 = 8 << 20;
/// And of all messages of a connection. It is what a peer that sends and a reader that stalls can
/// make this node keep.
const FOREGROUND_WINDOW: u32 = 64 << 20;
/// Work that nobody waits for has less on its way: what is sent already is ahead of what somebody
/// waits for, on whatever line the two share.
const BACKGROUND_WINDOW: u32 = 8 << 20;
/// Messages at once on one connection; more wait at the sender.
const MESSAGES_MAX: u32 = 256;
/// An idle connection is kept, so that a read does not begin with a handshake; a dead one is found
/// out in this time, well below what repair waits for.
const KEEP_ALIVE: Duration = Duration::from_secs(3);
const IDLE_MAX: Duration = Duration::from_secs(10);
/// Packets received before one is acknowledged, where none is lost. Of all settings this saved most
/// time: from 0.20 to 0.31 of TCP's throughput.
const ACKNOWLEDGED_EVERY: u32 = 20;
/// A packet out of order says so at once when it is this far off, so that losses are seen early.
const REORDERED: u32 = 3;
/// The largest packet that is tried: what Ethernet carries. Jumbo frames saved a tenth of the CPU
/// time on loopback, and together with rare acknowledgements brought transfers to a stand-still.
const MTU_MAX: u16 = 1_452;
/// The machine's buffers: a burst of a whole window's packets must find room while the other core
/// is busy. The machine may allow less.
pub(super) const SOCKET_BUFFER: usize = 8 << 20;
/// Connections of others that are being made; what is more is asked to come again with a token,
/// which costs this node nothing.
pub(super) const INCOMING_MAX: usize = 256;
/// Connections in all: nodes at one time, each with two classes, some of them twice.
pub(super) const CONNECTIONS_MAX: usize = 1_024;

const _: () = assert!(MESSAGE_MAX < FOREGROUND_WINDOW as usize, "a message never fills a window");

/// The transport of one class, as the sender of requests sets it; replies go by the same limits.
pub(super) fn transport(class: Class) -> Arc<TransportConfig> {
    let window = match class {
        Class::ShardBackground => BACKGROUND_WINDOW,
        Class::Consensus | Class::Control | Class::ShardForeground => FOREGROUND_WINDOW,
    };
    let mut acknowledging = AckFrequencyConfig::default();
    acknowledging
        .ack_eliciting_threshold(VarInt::from_u32(ACKNOWLEDGED_EVERY))
        .reordering_threshold(VarInt::from_u32(REORDERED));
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.upper_bound(MTU_MAX);
    let mut config = TransportConfig::default();
    config
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW.min(window)))
        .receive_window(VarInt::from_u32(window))
        .send_window(u64::from(window))
        .max_concurrent_bidi_streams(VarInt::from_u32(MESSAGES_MAX))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        // Nothing is sent outside of streams.
        .datagram_receive_buffer_size(None)
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_idle_timeout(IdleTimeout::try_from(IDLE_MAX).ok())
        .ack_frequency_config(Some(acknowledging))
        .mtu_discovery_config(Some(mtu))
        // One call of the system for many packets: without it, 1.6 times the CPU time.
        .enable_segmentation_offload(true)
        // BBR is no faster here, and is experimental in this library.
        .congestion_controller_factory(Arc::new(CubicConfig::default()));
    Arc::new(config)
}
