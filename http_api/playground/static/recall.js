// Read the recipe that img-pod writes into every picture: an XMP packet in PNG, JPEG or WebP.

const OWN = "urn:img-pod:recipe:1";
const IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/";
const MOST_BYTES = 30 * 1024 * 1024;

/** {model, revision, seed, steps, prompt} of a picture; null if it has no recipe of img-pod. */
export async function recipeOf(blob) {
  if (blob.size > MOST_BYTES) return null;
  const bytes = new Uint8Array(await blob.arrayBuffer());
  const [start, end] = [find(bytes, "<x:xmpmeta", 0), find(bytes, "</x:xmpmeta>", 0)];
  if (start < 0 || end < start) return null;
  const packet = new TextDecoder().decode(bytes.subarray(start, end + "</x:xmpmeta>".length));
  const parsed = new DOMParser().parseFromString(packet, "application/xml");
  const node = parsed.querySelector("Description") ?? parsed.getElementsByTagName("rdf:Description")[0];
  const seed = node?.getAttributeNS(OWN, "seed");
  if (!seed) return null;
  return {
    model: node.getAttributeNS(IPTC, "AISystemUsed"),
    revision: node.getAttributeNS(IPTC, "AISystemVersionUsed"),
    prompt: node.getAttributeNS(IPTC, "AIPromptInformation"),
    seed: Number(seed),
    steps: Number(node.getAttributeNS(OWN, "steps")),
  };
}

function find(bytes, text, from) {
  const wanted = new TextEncoder().encode(text);
  for (let at = bytes.indexOf(wanted[0], from); at >= 0; at = bytes.indexOf(wanted[0], at + 1)) {
    if (wanted.every((byte, offset) => bytes[at + offset] === byte)) return at;
  }
  return -1;
}
