"""Every error that the API answers with: its type name, HTTP status and text, in one table.

Type names, statuses and texts are those of OpenStack Networking v2.0, since clients match on
them. `fail("NetworkNotFound", net_id=...)` makes the exception; the API turns it into a
`NeutronError` body.
"""

from __future__ import annotations

from netloom.base.errors import NetloomError

#: type -> (HTTP status, text with named places)
ERRORS: dict[str, tuple[int, str]] = {
    # The request itself.
    "HTTPBadRequest": (400, "{message}"),
    "HTTPForbidden": (403, "{message}"),
    "HTTPNotFound": (404, "{message}"),
    "HTTPMethodNotAllowed": (405, "{message}"),
    "HTTPNotImplemented": (501, "{message}"),
    "HTTPUnauthorized": (401, "{message}"),
    "HTTPInternalServerError": (
        500,
        "Request Failed: internal server error while processing your request.",
    ),
    "HTTPRequestTimeout": (408, "{message}"),
    "HTTPRequestEntityTooLarge": (413, "{message}"),
    "ServiceUnavailable": (503, "The service is unavailable."),
    "RevisionNumberConstraintFailed": (
        412,
        "Constrained to {expected}, but current revision is {current}",
    ),
    "PolicyNotAuthorized": (403, "{rule} is disallowed by policy"),
    "NotAuthorized": (403, "Not authorized."),
    "AdminRequired": (403, "User does not have admin privileges: {reason}."),
    "BadRequest": (400, "Bad {resource} request: {msg}."),
    "InvalidInput": (400, "Invalid input for operation: {message}."),
    "TenantIdProjectIdFilterConflict": (400, "Both tenant_id and project_id passed as filters."),
    "ExtensionsNotFound": (404, "Extensions not found: {extensions}."),
    "MechanismDriverError": (409, "{message}"),
    # Networks and segments.
    "NetworkNotFound": (404, "Network {net_id} could not be found."),
    "NetworkInUse": (409, "Unable to complete operation on network {net_id}. {reason}."),
    "InvalidSharedSetting": (
        409,
        "Unable to reconfigure sharing settings for network {network}. "
        "Multiple projects are using it.",
    ),
    "ExternalNetworkInUse": (
        409,
        "External network {net_id} cannot be updated to be made non-external, since it has "
        "existing gateway ports.",
    ),
    "VlanIdInUse": (
        409,
        "Unable to create the network. The VLAN {vlan_id} on physical network "
        "{physical_network} is in use.",
    ),
    "TunnelIdInUse": (
        409,
        "Unable to create the network. The tunnel ID {tunnel_id} is in use.",
    ),
    "FlatNetworkInUse": (
        409,
        "Unable to create the flat network. Physical network {physical_network} is in use.",
    ),
    "NoNetworkAvailable": (
        503,
        "Unable to create the network. No project network is available for allocation.",
    ),
    "SegmentsSetInConjunctionWithProviders": (
        400,
        "Invalid input for operation: Segments and provider values cannot both be set..",
    ),
    "SegmentsContainDuplicateEntry": (
        400,
        "Invalid input for operation: Duplicate segment entry in request..",
    ),
    "NetworkMTUSubnetConflict": (
        409,
        "MTU of {net_id} is not valid, subnet requires a minimum of {mtu}",
    ),
    # Subnets and pools.
    "SubnetNotFound": (404, "Subnet {subnet_id} could not be found."),
    "SubnetInUse": (409, "Unable to complete operation on subnet {subnet_id}: {reason}."),
    "SubnetPoolNotFound": (404, "Subnet pool {subnetpool_id} could not be found."),
    "SubnetPoolDeleteError": (400, "Unable to delete subnet pool: {reason}."),
    "SubnetPoolQuotaExceeded": (409, "Per-project subnet pool prefix quota exceeded."),
    "SubnetAllocationError": (500, "Failed to allocate subnet: {reason}."),
    "MinPrefixSubnetAllocationError": (
        400,
        "Unable to allocate subnet with prefix length {prefixlen}, minimum allowed prefix is "
        "{min_prefixlen}.",
    ),
    "MaxPrefixSubnetAllocationError": (
        400,
        "Unable to allocate subnet with prefix length {prefixlen}, maximum allowed prefix is "
        "{max_prefixlen}.",
    ),
    "NetworkSubnetPoolAffinityError": (
        400,
        "Subnets hosted on the same network must be allocated from the same subnet pool.",
    ),
    "EmptySubnetPoolPrefixList": (400, "Empty subnet pool prefix list."),
    "PrefixVersionMismatch": (400, "Cannot mix IPv4 and IPv6 prefixes in a subnet pool."),
    "UnsupportedMinSubnetPoolPrefix": (
        400,
        "Prefix '{prefix}' not supported in IPv{version} pool.",
    ),
    "IllegalSubnetPoolPrefixBounds": (
        400,
        "Illegal prefix bounds: {prefix_type}={prefixlen}, {base_prefix_type}={base_prefixlen}.",
    ),
    "IllegalSubnetPoolUpdate": (400, "Illegal subnetpool update : {reason}."),
    "IllegalSubnetPoolPrefixUpdate": (400, "Illegal update to prefixes: {msg}."),
    "InvalidAllocationPool": (400, "The allocation pool {pool} is not valid."),
    "OverlappingAllocationPools": (
        409,
        "Found overlapping allocation pools: {pool_1} {pool_2} for subnet {subnet_cidr}.",
    ),
    "OutOfBoundsAllocationPool": (
        400,
        "The allocation pool {pool} spans beyond the subnet cidr {subnet_cidr}.",
    ),
    "GatewayConflictWithAllocationPools": (
        409,
        "Gateway ip {ip_address} conflicts with allocation pool {pool}.",
    ),
    "GatewayIpInUse": (
        409,
        "Current gateway ip {ip_address} already in use by port {port_id}. Unable to update.",
    ),
    "HostRoutesExhausted": (
        400,
        "Unable to complete operation for {subnet_id}. The number of host routes exceeds the "
        "limit {quota}.",
    ),
    "DNSNameServersExhausted": (
        400,
        "Unable to complete operation for {subnet_id}. The number of DNS nameservers exceeds "
        "the limit {quota}.",
    ),
    "InvalidInputSubnetServiceType": (
        400,
        "Invalid input for operation: Subnet service type {service_type} is not a string..",
    ),
    "InvalidSubnetServiceType": (
        400,
        "Invalid input for operation: Subnet service type {service_type} does not correspond to "
        "a valid device owner..",
    ),
    # Ports and addresses.
    "PortNotFound": (404, "Port {port_id} could not be found."),
    "ServicePortInUse": (
        409,
        "Port {port_id} cannot be deleted directly via the port API: {reason}.",
    ),
    "PortBound": (
        409,
        "Unable to complete operation on port {port_id}, port is already bound, port type: "
        "{vif_type}, old_mac {old_mac}, new_mac {new_mac}.",
    ),
    "UnsupportedPortDeviceOwner": (
        409,
        "Operation {op} is not supported for device_owner {device_owner} on port {port_id}.",
    ),
    "MacAddressInUse": (
        409,
        "Unable to complete operation for network {net_id}. The mac address {mac} is in use.",
    ),
    "MacAddressGenerationFailure": (
        503,
        "Unable to generate unique mac on network {net_id}.",
    ),
    "IpAddressInUse": (
        409,
        "Unable to complete operation for network {net_id}. The IP address {ip_address} is in use.",
    ),
    "IpAddressAlreadyAllocated": (409, "IP address {ip} already allocated in subnet {subnet_id}"),
    "InvalidIpForNetwork": (
        400,
        "IP address {ip_address} is not a valid IP for any of the subnets on the specified "
        "network.",
    ),
    "InvalidIpForSubnet": (
        400,
        "IP address {ip_address} is not a valid IP for the specified subnet.",
    ),
    "IpAddressGenerationFailure": (409, "No more IP addresses available on network {net_id}."),
    "IpAddressGenerationFailureNoMatchingSubnet": (
        409,
        "No valid service subnet for the given device owner, network {network_id}, service type "
        "{service_type}.",
    ),
    "AllocationOnAutoAddressSubnet": (
        400,
        "Invalid input for operation: IPv6 address {ip} cannot be directly assigned to a port on "
        "subnet {subnet_id} as the subnet is configured for automatic addresses.",
    ),
    "DeviceIDNotOwnedByTenant": (
        409,
        "The following device_id {device_id} is not owned by your project or matches another "
        "project router.",
    ),
    "AddressPairAndPortSecurityRequired": (
        409,
        "Port Security must be enabled in order to have allowed address pairs on a port.",
    ),
    "DuplicateAddressPairInRequest": (
        400,
        "Invalid input for operation: Request contains duplicate address pair: mac_address "
        "{mac_address} ip_address {ip_address}..",
    ),
    "AllowedAddressPairExhausted": (
        400,
        "The number of allowed address pair exceeds the maximum {quota}.",
    ),
    "PortSecurityPortHasSecurityGroup": (
        409,
        "Port has security group associated. Cannot disable port security or IP address until "
        "security group is removed.",
    ),
    "PortSecurityAndIPRequiredForSecurityGroups": (
        400,
        "Invalid input for operation: Port security must be enabled and port must have an IP "
        "address in order to use security groups..",
    ),
    # Routers and floating addresses.
    "RouterNotFound": (404, "Router {router_id} could not be found"),
    "RouterInUse": (409, "Router {router_id} {reason}"),
    "RouterInterfaceNotFound": (
        404,
        "Router {router_id} does not have an interface with id {port_id}",
    ),
    "RouterInterfaceNotFoundForSubnet": (
        404,
        "Router {router_id} has no interface on subnet {subnet_id}",
    ),
    "RouterInterfaceInUseByFloatingIP": (
        409,
        "Router interface for subnet {subnet_id} on router {router_id} cannot be deleted, as it "
        "is required by one or more floating IPs.",
    ),
    "RouterInterfaceInUseByRoute": (
        409,
        "Router interface for subnet {subnet_id} on router {router_id} cannot be deleted, as it "
        "is required by one or more routes.",
    ),
    "RouterExternalGatewayInUseByFloatingIp": (
        409,
        "Gateway cannot be updated for router {router_id}, since a gateway to external network "
        "{net_id} is required by one or more floating IPs.",
    ),
    "PortInUse": (
        409,
        "Unable to complete operation on port {port_id} for network {net_id}. Port already has an "
        "attached device {device_id}.",
    ),
    "SubnetMismatchForPort": (
        400,
        "Subnet on port {port_id} does not match the requested subnet {subnet_id}.",
    ),
    "InvalidRoutes": (
        400,
        "Invalid input for operation: Invalid format for routes: {routes}, {reason}.",
    ),
    "RoutesExhausted": (
        400,
        "Unable to complete operation for {router_id}. The number of routes exceeds the maximum "
        "{quota}.",
    ),
    "FloatingIPNotFound": (404, "Floating IP {floatingip_id} could not be found"),
    "ExternalGatewayForFloatingIPNotFound": (
        404,
        "External network {external_network_id} is not reachable from subnet {subnet_id}.  "
        "Therefore, cannot associate Port {port_id} with a Floating IP.",
    ),
    "FloatingIPPortAlreadyAssociated": (
        409,
        "Cannot associate floating IP {floating_ip_address} ({fip_id}) with port {port_id} using "
        "fixed IP {fixed_ip}, as that fixed IP already has a floating IP on external network "
        "{net_id}.",
    ),
    "ExternalIpAddressExhausted": (
        400,
        "Unable to find any IP address on external network {net_id}.",
    ),
    "PortForwardingNotFound": (404, "Port Forwarding {id} could not be found."),
    "PortHasPortForwarding": (
        400,
        "Cannot associate floating IP to port {port_id} because it already has a Port Forwarding "
        "binding.",
    ),
    "FipInUseByPortForwarding": (409, "Floating IP {id} in use by Port Forwarding resources."),
    "PortHasBindingFloatingIP": (
        409,
        "Cannot create port forwarding to floating IP {floating_ip_address} ({fip_id}) with port "
        "{port_id} using fixed IP {fixed_ip}, as that port already has a binding floating IP.",
    ),
    "AutoAllocationFailure": (409, "Deployment error: {reason}."),
    "DefaultExternalNetworkExists": (
        409,
        "A default external network already exists: {net_id}.",
    ),
    # Security groups.
    "SecurityGroupNotFound": (404, "Security group {id} does not exist"),
    "SecurityGroupRuleNotFound": (404, "Security group rule {id} does not exist"),
    "SecurityGroupConflict": (409, "Error {reason} while attempting the operation."),
    "SecurityGroupInUse": (409, "Security Group {id} {reason}."),
    "SecurityGroupCannotRemoveDefault": (
        409,
        "Insufficient rights for removing default security group.",
    ),
    "SecurityGroupCannotUpdateDefault": (409, "Updating default security group not allowed."),
    "SecurityGroupDefaultAlreadyExists": (409, "Default security group already exists."),
    "SecurityGroupRuleExists": (
        409,
        "Security group rule already exists. Rule id is {rule_id}.",
    ),
    "DuplicateSecurityGroupRuleInPost": (409, "Duplicate Security Group Rule in POST."),
    "SecurityGroupInvalidPortRange": (
        400,
        "Invalid input for operation: For TCP/UDP protocols, port_range_min must be <= "
        "port_range_max.",
    ),
    "SecurityGroupInvalidPortValue": (
        400,
        "Invalid input for operation: Invalid value for port {port}.",
    ),
    "SecurityGroupInvalidProtocolForPort": (
        400,
        "Invalid input for operation: Ports cannot be specified for protocol {protocol}. Ports "
        "are only supported for {valid_port_protocols}..",
    ),
    "SecurityGroupInvalidIcmpValue": (
        400,
        "Invalid input for operation: Invalid value for ICMP {field} ({attr}) {value}. It must be "
        "0 to 255..",
    ),
    "SecurityGroupMissingIcmpType": (
        400,
        "Invalid input for operation: ICMP code (port-range-max) {value} is provided but ICMP "
        "type (port-range-min) is missing..",
    ),
    "SecurityGroupEthertypeConflictWithProtocol": (
        400,
        "Invalid input for operation: Invalid ethertype {ethertype} for protocol {protocol}..",
    ),
    "SecurityGroupRuleInvalidProtocol": (
        400,
        "Invalid input for operation: Security group rule protocol {protocol} not supported. Only "
        "protocol values {values} and integer representations [0 to 255] are supported..",
    ),
    "AllowedAddressPairsMissingIP": (400, "AllowedAddressPair must contain ip_address."),
    "InvalidActionForType": (
        400,
        "Invalid action '{action}' for object type '{object_type}'. Valid actions: {valid_actions}",
    ),
    "InvalidCIDR": (400, "Invalid CIDR {input} given as IP prefix."),
    "SecurityGroupNotSingleGroupRules": (
        400,
        "Only allowed to update rules for one security profile at a time.",
    ),
    "SecurityGroupRuleInvalidEtherType": (
        400,
        "Invalid input for operation: Security group rule for ethertype '{ethertype}' not "
        "supported. Allowed values are {values}..",
    ),
    "SecurityGroupMultipleRemoteEntites": (
        400,
        "Invalid input for operation: Only one of remote_ip_prefix or remote_group_id or "
        "remote_address_group_id may be provided..",
    ),
    "SecurityGroupProtocolRequiredWithPorts": (
        400,
        "Invalid input for operation: Must also specify protocol if port range is given..",
    ),
    "SecurityGroupRuleParameterConflict": (
        400,
        "Invalid input for operation: Conflicting value ethertype {ethertype} for CIDR {cidr}.",
    ),
    # Agents, quotas, sharing, tags.
    "AgentNotFound": (404, "Agent {id} could not be found."),
    "InvalidDHCPAgent": (404, "Agent {id} is not a valid DHCP Agent or has been disabled."),
    "NetworkHostedByDHCPAgent": (
        409,
        "The network {network_id} has been already hosted by the DHCP Agent {agent_id}.",
    ),
    "NetworkNotHostedByDhcpAgent": (
        409,
        "The network {network_id} is not hosted by the DHCP Agent {agent_id}.",
    ),
    "InvalidL3Agent": (404, "Agent {id} is not a L3 Agent or has been disabled"),
    "RouterHostedByL3Agent": (
        409,
        "The router {router_id} has been already hosted by the L3 Agent {agent_id}.",
    ),
    "RouterNotHostedByL3Agent": (
        409,
        "The router {router_id} is not hosted by the L3 Agent {agent_id}.",
    ),
    "AvailabilityZoneNotFound": (
        404,
        "AvailabilityZone {availability_zone} could not be found.",
    ),
    "OverQuota": (409, "Quota exceeded for resources: {overs}."),
    "QuotaResourceUnknown": (404, "Unknown quota resources {unknown}."),
    "TenantQuotaNotFound": (404, "Quota for project {tenant_id} could not be found."),
    "RbacPolicyNotFound": (404, "RBAC policy of type {object_type} with ID {id} not found"),
    "RbacPolicyInUse": (
        409,
        "RBAC policy on object {object_id} cannot be removed because other objects depend on "
        "it.\nDetails: {details}",
    ),
    "DuplicateRbacPolicy": (409, "An RBAC policy already exists with those values."),
    "TagResourceNotFound": (404, "Resource {resource} {resource_id} could not be found."),
    "TagNotFound": (404, "Tag {tag} could not be found."),
    "SegmentNotFound": (404, "Segment {segment_id} could not be found."),
    "NetworkIpAvailabilityNotFound": (404, "Network {net_id} could not be found."),
}


class ApiError(NetloomError):
    """An answer that is an error: `kind` is its type name, `status` the HTTP status."""

    def __init__(self, kind: str, message: str, status: int, detail: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.status = status
        self.detail = detail


def fail(kind: str, **places: object) -> ApiError:
    """The error of type `kind` with its text filled in; raise it."""
    status, text = ERRORS[kind]
    return ApiError(kind, text.format(**places), status)


def bad_request(message: str) -> ApiError:
    """The request makes no sense: type HTTPBadRequest."""
    return fail("HTTPBadRequest", message=message)


class Refused(ValueError):
    """A value that cannot be used, where the API has an error type of its own for that."""

    def __init__(self, message: str, kind: str = "InvalidInput", **places: object) -> None:
        super().__init__(message)
        self.kind = kind
        self.places = places


def refusal(name: str, error: ValueError) -> ApiError:
    """What the API says when the value of an attribute does not pass its check."""
    if isinstance(error, Refused):
        return fail(error.kind, message=error, **error.places)
    return bad_request(f"Invalid input for {name}. Reason: {error}.")


def invalid_input(message: str) -> ApiError:
    """A value that cannot be used: type InvalidInput."""
    return fail("InvalidInput", message=message)
