/* address.h - which addresses of the Internet are everybody's, and which are somebody's inside.
 *
 * owner    nobody: a plain function
 * errors   whatever is no address of 4 or 16 bytes is private: what we do not understand we do not call
 * promise  public is what routers of the Internet carry to one host; all else is private: this machine, private and
 *          link-local networks, a carrier's own, multicast, what is reserved or for examples, and where clouds answer for
 *          their metadata. An IPv4 address inside an IPv6 one (mapped, NAT64, 6to4) is judged as what it is */
#ifndef IO_ADDRESS_H
#define IO_ADDRESS_H

#include "base/bytes.h"

bool io_address_is_private(struct bytes address); /* in the order of the net: {127, 0, 0, 1} */

#endif
