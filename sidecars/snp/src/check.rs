use std::fmt;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

/// One thing that the verifier looks at. The code of a failed check is stable, see `docs/errors.md`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum CheckId {
    /// The report has AMD's length.
    ReportLength,
    /// The report's layout is known.
    ReportVersion,
    /// The report is signed with ECDSA P-384 and SHA-384.
    SignatureAlgorithm,
    /// Nothing stands beside the signature's numbers.
    SignaturePadding,
    /// What the layout reserves has its reserved value.
    ReservedFields,
    /// The report says that a permitted kind of key signed it.
    SigningKey,
    /// The endorsements are three X.509 certificates: leaf, intermediate, root.
    ChainFormat,
    /// The root's key is a pinned one.
    RootPinned,
    /// Every certificate is signed with RSASSA-PSS and exactly AMD's parameters.
    SignatureParameters,
    /// The root signed itself.
    RootSignature,
    /// The root signed the intermediate.
    IntermediateSignature,
    /// The intermediate signed the leaf.
    LeafSignature,
    /// The leaf is named after the kind of key that signed the report.
    LeafName,
    /// Root and intermediate have the names of their product, and each certificate names its issuer.
    AuthorityNames,
    /// Root and intermediate may issue certificates, the leaf may not.
    Authority,
    /// No certificate has a critical extension that is not understood here.
    CriticalExtensions,
    /// The root is in force.
    RootValidity,
    /// The intermediate is in force.
    IntermediateValidity,
    /// The leaf is in force.
    LeafValidity,
    /// The root's revocation list is in force and does not name the certificates.
    Revocation,
    /// The leaf says which chip and which TCB it vouches for.
    LeafExtensions,
    /// The leaf vouches for the TCB that the report states.
    LeafTcb,
    /// The leaf vouches for the chip that the report states.
    LeafChip,
    /// Report, leaf and root are of one product.
    Product,
    /// The leaf's key is a P-384 point.
    LeafKey,
    /// The leaf's key signed the report.
    ReportSignature,
    /// The guest cannot be debugged.
    Debug,
    /// No migration agent may move the guest.
    MigrationAgent,
    /// The guest's author is the required one.
    AuthorKey,
    /// The report was requested at the required privilege level.
    Vmpl,
    /// The guest does not run under an older firmware interface.
    GuestAbi,
    /// The platform's firmware is not older than required.
    MinimumTcb,
    /// The firmware at the guest's launch was not older than required.
    LaunchTcb,
    /// The platform is configured as required.
    PlatformInfo,
    /// The chip is a permitted one.
    Chip,
    /// The group does not run under a policy that allows everything.
    AllowAll,
    /// The group runs under a permitted policy.
    HostData,
    /// The report binds what was asked for.
    ReportData,
    /// The endorsement of the utility VM is COSE_Sign1 with what it needs in its protected header.
    UvmFormat,
    /// The endorsement's certificates lead to one that its issuer names.
    UvmChain,
    /// The endorsement's issuer is the pinned one.
    UvmIssuer,
    /// The endorsement is signed by its leaf.
    UvmSignature,
    /// The endorsement is of the pinned kind of utility VM.
    UvmFeed,
    /// The utility VM is not older than required.
    UvmSvn,
    /// The utility VM that runs is the endorsed one.
    Measurement,
}

impl CheckId {
    /// Every check, in the order of the table.
    pub const ALL: [Self; 45] = [
        Self::ReportLength,
        Self::ReportVersion,
        Self::SignatureAlgorithm,
        Self::SignaturePadding,
        Self::ReservedFields,
        Self::SigningKey,
        Self::ChainFormat,
        Self::RootPinned,
        Self::SignatureParameters,
        Self::RootSignature,
        Self::IntermediateSignature,
        Self::LeafSignature,
        Self::LeafName,
        Self::AuthorityNames,
        Self::Authority,
        Self::CriticalExtensions,
        Self::RootValidity,
        Self::IntermediateValidity,
        Self::LeafValidity,
        Self::Revocation,
        Self::LeafExtensions,
        Self::LeafTcb,
        Self::LeafChip,
        Self::Product,
        Self::LeafKey,
        Self::ReportSignature,
        Self::Debug,
        Self::MigrationAgent,
        Self::AuthorKey,
        Self::Vmpl,
        Self::GuestAbi,
        Self::MinimumTcb,
        Self::LaunchTcb,
        Self::PlatformInfo,
        Self::Chip,
        Self::AllowAll,
        Self::HostData,
        Self::ReportData,
        Self::UvmFormat,
        Self::UvmChain,
        Self::UvmIssuer,
        Self::UvmSignature,
        Self::UvmFeed,
        Self::UvmSvn,
        Self::Measurement,
    ];

    /// The stable code of its failure.
    pub const fn code(self) -> &'static str {
        self.row().code
    }

    /// Its name in the table.
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// What it looks at, in words.
    pub const fn what(self) -> &'static str {
        self.row().what
    }

    /// Where the judged value is: the artefact with offset, member or object identifier.
    pub const fn source(self) -> &'static str {
        self.row().source
    }

    /// What defines it: a specification, or the caller's requirements.
    pub const fn specification(self) -> &'static str {
        self.row().specification
    }

    const fn row(self) -> Row {
        match self {
            Self::ReportLength => row(
                "CR-SNP-0001",
                "report-length",
                "the report has AMD's length",
                "report",
                "ATTESTATION_REPORT",
            ),
            Self::ReportVersion => row(
                "CR-SNP-0002",
                "report-version",
                "the report's layout is known",
                "report 0x000",
                "ATTESTATION_REPORT.VERSION",
            ),
            Self::SignatureAlgorithm => row(
                "CR-SNP-0003",
                "signature-algorithm",
                "ECDSA P-384 with SHA-384",
                "report 0x034",
                "ATTESTATION_REPORT.SIGNATURE_ALGO",
            ),
            Self::SignaturePadding => row(
                "CR-SNP-0004",
                "signature-padding",
                "nothing beside the signature's numbers",
                "report 0x2d0, 0x318, 0x330",
                "ECDSA P-384 signature format",
            ),
            Self::ReservedFields => row(
                "CR-SNP-0005",
                "reserved-fields",
                "reserved fields and bits have their reserved value",
                "report 0x008, 0x048, 0x04c, 0x188, 0x1eb, 0x1ef, 0x1f8",
                "ATTESTATION_REPORT",
            ),
            Self::SigningKey => row(
                "CR-SNP-0006",
                "signing-key",
                "the kind of key that signed the report",
                "report 0x048 bits 1, 4:2",
                "ATTESTATION_REPORT.SIGNING_KEY",
            ),
            Self::ChainFormat => row(
                "CR-SNP-0010",
                "chain-format",
                "leaf, intermediate and root, in this order",
                "chain",
                "RFC 7468, RFC 5280",
            ),
            Self::RootPinned => row(
                "CR-SNP-0011",
                "root-pinned",
                "the root's key is a pinned one",
                "root subjectPublicKeyInfo",
                "pinned ARK",
            ),
            Self::SignatureParameters => row(
                "CR-SNP-0012",
                "signature-parameters",
                "RSASSA-PSS, SHA-384, MGF1 with SHA-384, salt of 48 bytes",
                "chain signatureAlgorithm",
                "VCEK specification, RFC 4055",
            ),
            Self::RootSignature => row(
                "CR-SNP-0013",
                "root-signature",
                "the root signed itself",
                "root signature",
                "RFC 8017 section 8.1.2",
            ),
            Self::IntermediateSignature => row(
                "CR-SNP-0014",
                "intermediate-signature",
                "the root signed the intermediate",
                "intermediate signature",
                "RFC 8017 section 8.1.2",
            ),
            Self::LeafSignature => row(
                "CR-SNP-0015",
                "leaf-signature",
                "the intermediate signed the leaf",
                "leaf signature",
                "RFC 8017 section 8.1.2",
            ),
            Self::LeafName => row(
                "CR-SNP-0016",
                "leaf-name",
                "the leaf is of the kind that the report names",
                "leaf subject CN",
                "VCEK specification",
            ),
            Self::AuthorityNames => row(
                "CR-SNP-0017",
                "authority-names",
                "issuers are named, and named after one product",
                "chain issuer, subject",
                "RFC 5280 section 6.1.3",
            ),
            Self::Authority => row(
                "CR-SNP-0018",
                "authority",
                "only root and intermediate may issue",
                "chain 2.5.29.19, 2.5.29.15",
                "RFC 5280 section 4.2.1",
            ),
            Self::CriticalExtensions => row(
                "CR-SNP-0019",
                "critical-extensions",
                "no critical extension is left unread",
                "chain extensions",
                "RFC 5280 section 4.2",
            ),
            Self::RootValidity => row(
                "CR-SNP-0020",
                "root-validity",
                "the root is in force",
                "root validity",
                "RFC 5280 section 4.1.2.5",
            ),
            Self::IntermediateValidity => row(
                "CR-SNP-0021",
                "intermediate-validity",
                "the intermediate is in force",
                "intermediate validity",
                "RFC 5280 section 4.1.2.5",
            ),
            Self::LeafValidity => row(
                "CR-SNP-0022",
                "leaf-validity",
                "the leaf is in force",
                "leaf validity",
                "RFC 5280 section 4.1.2.5",
            ),
            Self::Revocation => row(
                "CR-SNP-0023",
                "revocation",
                "the root revoked none of them",
                "revocation list",
                "RFC 5280 section 5",
            ),
            Self::LeafExtensions => row(
                "CR-SNP-0024",
                "leaf-extensions",
                "the leaf names chip and TCB",
                "leaf 1.3.6.1.4.1.3704.1",
                "VCEK specification",
            ),
            Self::LeafTcb => row(
                "CR-SNP-0025",
                "leaf-tcb",
                "the leaf vouches for the reported TCB",
                "leaf 1.3.6.1.4.1.3704.1.3, report 0x180",
                "VCEK specification",
            ),
            Self::LeafChip => row(
                "CR-SNP-0026",
                "leaf-chip",
                "the leaf vouches for the report's chip",
                "leaf 1.3.6.1.4.1.3704.1.4, report 0x1a0",
                "VCEK specification",
            ),
            Self::Product => row(
                "CR-SNP-0027",
                "product",
                "report, leaf and root are of one product",
                "report 0x188, leaf 1.3.6.1.4.1.3704.1.2, root",
                "ATTESTATION_REPORT.CPUID_FAM_ID",
            ),
            Self::LeafKey => row(
                "CR-SNP-0028",
                "leaf-key",
                "the leaf's key is a P-384 point",
                "leaf subjectPublicKeyInfo",
                "RFC 5480",
            ),
            Self::ReportSignature => row(
                "CR-SNP-0030",
                "report-signature",
                "the leaf's key signed the report's bytes",
                "report 0x000-0x29f, 0x2a0",
                "ATTESTATION_REPORT.SIGNATURE",
            ),
            Self::Debug => row(
                "CR-SNP-0040",
                "debug",
                "the host may not debug the guest",
                "report 0x008 bit 19",
                "guest policy DEBUG",
            ),
            Self::MigrationAgent => row(
                "CR-SNP-0041",
                "migration-agent",
                "no migration agent may move the guest",
                "report 0x008 bit 18, 0x160",
                "guest policy MIGRATE_MA",
            ),
            Self::AuthorKey => row(
                "CR-SNP-0042",
                "author-key",
                "the author of the guest's identity block",
                "report 0x048 bit 0, 0x110",
                "ATTESTATION_REPORT.AUTHOR_KEY_DIGEST",
            ),
            Self::Vmpl => row(
                "CR-SNP-0043",
                "vmpl",
                "privilege level of the requester",
                "report 0x030",
                "ATTESTATION_REPORT.VMPL",
            ),
            Self::GuestAbi => row(
                "CR-SNP-0044",
                "guest-abi",
                "least firmware interface that the guest accepts",
                "report 0x008 bits 15:0",
                "guest policy ABI_MAJOR, ABI_MINOR",
            ),
            Self::MinimumTcb => row(
                "CR-SNP-0045",
                "minimum-tcb",
                "the platform's firmware, each component",
                "report 0x180",
                "ATTESTATION_REPORT.REPORTED_TCB",
            ),
            Self::LaunchTcb => row(
                "CR-SNP-0046",
                "launch-tcb",
                "the firmware at launch, each component",
                "report 0x1f0",
                "ATTESTATION_REPORT.LAUNCH_TCB",
            ),
            Self::PlatformInfo => row(
                "CR-SNP-0047",
                "platform-info",
                "the platform's configuration",
                "report 0x040",
                "ATTESTATION_REPORT.PLATFORM_INFO",
            ),
            Self::Chip => row(
                "CR-SNP-0048",
                "chip",
                "the chip is a permitted one",
                "leaf 1.3.6.1.4.1.3704.1.4",
                "requirements",
            ),
            Self::AllowAll => row(
                "CR-SNP-0049",
                "allow-all",
                "the group's policy does not allow everything",
                "report 0x0c0",
                "published sample policies",
            ),
            Self::HostData => row(
                "CR-SNP-0050",
                "host-data",
                "the group's policy is a permitted one",
                "report 0x0c0",
                "ATTESTATION_REPORT.HOST_DATA",
            ),
            Self::ReportData => row(
                "CR-SNP-0051",
                "report-data",
                "the report binds what was asked for",
                "report 0x050",
                "ATTESTATION_REPORT.REPORT_DATA",
            ),
            Self::UvmFormat => row(
                "CR-SNP-0060",
                "uvm-format",
                "the utility VM's endorsement is well formed",
                "UVM endorsement",
                "RFC 9052 section 4.2",
            ),
            Self::UvmChain => row(
                "CR-SNP-0061",
                "uvm-chain",
                "its certificates lead to the issuer's",
                "UVM endorsement header 33",
                "did:x509 method",
            ),
            Self::UvmIssuer => row(
                "CR-SNP-0062",
                "uvm-issuer",
                "who endorses the utility VM",
                "UVM endorsement header iss",
                "did:x509 method",
            ),
            Self::UvmSignature => row(
                "CR-SNP-0063",
                "uvm-signature",
                "the endorsement is signed by its leaf",
                "UVM endorsement signature",
                "RFC 9052 section 4.4, PS384",
            ),
            Self::UvmFeed => row(
                "CR-SNP-0064",
                "uvm-feed",
                "what is endorsed",
                "UVM endorsement header feed",
                "requirements",
            ),
            Self::UvmSvn => row(
                "CR-SNP-0065",
                "uvm-svn",
                "the utility VM's version",
                "UVM endorsement payload guestsvn",
                "requirements",
            ),
            Self::Measurement => row(
                "CR-SNP-0066",
                "measurement",
                "the utility VM that runs",
                "UVM endorsement payload launchmeasurement, report 0x090",
                "ATTESTATION_REPORT.MEASUREMENT",
            ),
        }
    }
}

struct Row {
    code: &'static str,
    name: &'static str,
    what: &'static str,
    source: &'static str,
    specification: &'static str,
}

const fn row(
    code: &'static str,
    name: &'static str,
    what: &'static str,
    source: &'static str,
    specification: &'static str,
) -> Row {
    Row {
        code,
        name,
        what,
        source,
        specification,
    }
}

impl fmt::Display for CheckId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Whether a check passed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It passed.
    Passed,
    /// The requirements do not ask for it.
    NotRequired,
    /// It failed.
    Failed,
    /// What it looks at could not be read, because an earlier check failed. This counts as failed.
    NotEvaluated,
}

impl Verdict {
    /// Whether the evidence may still be accepted.
    pub const fn accepts(self) -> bool {
        matches!(self, Self::Passed | Self::NotRequired)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Passed => "passed",
            Self::NotRequired => "not required",
            Self::Failed => "FAILED",
            Self::NotEvaluated => "not evaluated",
        })
    }
}

/// A row of the verifier's table.
#[derive(Clone, Debug)]
pub struct Check {
    /// Which check.
    pub id: CheckId,
    /// What the requirements or the specification ask for.
    pub expected: String,
    /// What the evidence has.
    pub actual: String,
    /// Whether that is enough.
    pub verdict: Verdict,
}

impl Serialize for Check {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_struct("Check", 8)?;
        row.serialize_field("name", self.id.name())?;
        row.serialize_field("code", self.id.code())?;
        row.serialize_field("what", self.id.what())?;
        row.serialize_field("expected", &self.expected)?;
        row.serialize_field("actual", &self.actual)?;
        row.serialize_field("source", self.id.source())?;
        row.serialize_field("specification", self.id.specification())?;
        row.serialize_field("verdict", &self.verdict)?;
        row.end()
    }
}
