# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""A link with delay and loss where the kernel has no netem: two TAP devices between which a thread
carries frames, late, and not all of them."""
import fcntl
import heapq
import os
import random
import select
import struct
import threading
import time

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000


class DelayedLink:
    """Makes the devices, carries frames until it is closed. @raises OSError without TAP devices"""

    def __init__(self, devices: tuple[str, str], delay: float, jitter: float, loss: float):
        self.delay, self.jitter, self.loss = delay, jitter, loss
        self.lost, self.over, self.ends = 0, False, []
        for device in devices:
            self.ends.append(os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK))
            fcntl.ioctl(self.ends[-1], TUNSETIFF,
                        struct.pack("16sH", device.encode(), IFF_TAP | IFF_NO_PI))
        self.thread = threading.Thread(target=self.carry)

    def start(self) -> None:
        self.thread.start()

    def carry(self) -> None:
        draw, under_way, latest = random.Random(1), [], dict.fromkeys(self.ends, 0.0)
        other = dict(zip(self.ends, reversed(self.ends)))
        for turn in range(1 << 62):
            if self.over:
                return
            now = time.monotonic()
            while under_way and under_way[0][0] <= now:
                _, _, end, frame = heapq.heappop(under_way)
                os.write(end, frame)
            pause = under_way[0][0] - now if under_way else 0.1
            for end in select.select(self.ends, [], [], max(pause, 0))[0]:
                frame = os.read(end, 65536)
                if draw.random() < self.loss:
                    self.lost += 1
                    continue
                due = time.monotonic() + self.delay + draw.uniform(-self.jitter, self.jitter)
                latest[end] = max(latest[end], due)  # frames stay in order
                heapq.heappush(under_way, (latest[end], turn, other[end], frame))

    def close(self) -> None:
        self.over = True
        if self.thread.is_alive():
            self.thread.join()
        for end in self.ends:
            os.close(end)
