//! What is in an image, as CycloneDX 1.6: the program's packages as cargo resolved them, and the files beside it. Nothing of
//! it depends on the time or the machine.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{BuiltImage, ImageSpec};

/// What `cargo metadata --format-version 1` says, as far as it counts here.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Debug, Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
    targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Debug, Deserialize)]
struct Kind {
    kind: Option<String>,
}

/// Checksums by name and version, of a `Cargo.lock`.
#[must_use]
pub fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let mut checksums = BTreeMap::new();
    for package in lock.split("[[package]]") {
        let field = |name: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(name))?;
            line.strip_prefix(" = \"")?.strip_suffix('"')
        };
        if let (Some(name), Some(version), Some(checksum)) =
            (field("name"), field("version"), field("checksum"))
        {
            checksums.insert((name.to_owned(), version.to_owned()), checksum.to_owned());
        }
    }
    checksums
}

/// The bill of an image. `None`: no package of the workspace builds a program of its name.
///
/// Packages are those that are linked into the program; what only runs during the build is not listed.
#[must_use]
pub fn sbom(
    image: &ImageSpec,
    built: &BuiltImage,
    metadata: &Metadata,
    checksums: &BTreeMap<(String, String), String>,
) -> Option<Value> {
    let builds = |package: &&Package| {
        package.source.is_none()
            && package.targets.iter().any(|target| {
                target.name == image.name && target.kind.iter().any(|kind| kind == "bin")
            })
    };
    let root = metadata.packages.iter().find(builds)?;
    let nodes: BTreeMap<&str, &Node> = metadata
        .resolve
        .nodes
        .iter()
        .map(|node| (node.id.as_str(), node))
        .collect();
    let packages: BTreeMap<&str, &Package> = metadata
        .packages
        .iter()
        .map(|package| (package.id.as_str(), package))
        .collect();
    let linked = |id: &str| {
        let deps = nodes.get(id).map(|node| node.deps.as_slice());
        let deps = deps.unwrap_or_default().iter();
        let normal = |dep: &&Dependency| dep.dep_kinds.iter().any(|kind| kind.kind.is_none());
        deps.filter(normal)
            .map(|dep| dep.pkg.as_str())
            .collect::<Vec<_>>()
    };
    let mut seen = BTreeSet::new();
    let mut waiting = vec![root.id.as_str()];
    while let Some(id) = waiting.pop() {
        if seen.insert(id) {
            waiting.extend(linked(id));
        }
    }
    let reference = |id: &str| packages.get(id).map(|package| purl(package));
    let mut components: Vec<(String, Value)> = seen
        .iter()
        .filter_map(|id| packages.get(id))
        .map(|package| (purl(package), component(package, checksums)))
        .collect();
    let mut dependencies: Vec<(String, Value)> = seen
        .iter()
        .filter_map(|id| {
            let mut on: Vec<String> = linked(id).into_iter().filter_map(reference).collect();
            on.sort_unstable();
            on.dedup();
            let this = reference(id)?;
            Some((this.clone(), json!({ "ref": this, "dependsOn": on })))
        })
        .collect();
    components.sort_by(|one, two| one.0.cmp(&two.0));
    dependencies.sort_by(|one, two| one.0.cmp(&two.0));
    let mut listed: Vec<Value> = vec![file(
        &image.command().into_iter().next().unwrap_or_default(),
        Some(&built.executable_sha256),
    )];
    listed.extend(
        image
            .files
            .iter()
            .map(|extra| file(&extra.target, extra.sha256.as_deref())),
    );
    listed.extend(components.into_iter().map(|(_, component)| component));
    Some(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": { "component": {
            "type": "container",
            "bom-ref": built.digest,
            "name": image.name,
            "version": built.digest,
        }},
        "components": listed,
        "dependencies": dependencies.into_iter().map(|(_, dependency)| dependency).collect::<Vec<_>>(),
    }))
}

fn purl(package: &Package) -> String {
    let version = package.version.replace('+', "%2B");
    format!("pkg:cargo/{}@{version}", package.name)
}

fn component(package: &Package, checksums: &BTreeMap<(String, String), String>) -> Value {
    let purl = purl(package);
    let mut component = json!({
        "type": "library",
        "bom-ref": purl,
        "name": package.name,
        "version": package.version,
        "purl": purl,
    });
    let Some(members) = component.as_object_mut() else {
        return component;
    };
    if let Some(license) = &package.license {
        // The old way to write a choice.
        let expression = license.replace('/', " OR ");
        members.insert("licenses".into(), json!([{ "expression": expression }]));
    }
    let key = (package.name.clone(), package.version.clone());
    if let Some(checksum) = checksums.get(&key).filter(|_| package.source.is_some()) {
        members.insert("hashes".into(), sha256(checksum));
    }
    component
}

fn file(target: &str, hash: Option<&str>) -> Value {
    let mut file = json!({ "type": "file", "bom-ref": format!("file:{target}"), "name": target });
    if let (Some(hash), Some(members)) = (hash, file.as_object_mut()) {
        members.insert("hashes".into(), sha256(hash));
    }
    file
}

fn sha256(hex: &str) -> Value {
    json!([{ "alg": "SHA-256", "content": hex }])
}
