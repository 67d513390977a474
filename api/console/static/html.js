// html`...` describes a piece of the page, render(piece, element) makes it or updates what is there.
//
// Only the literal parts of a piece are parsed as HTML. A value between them never is: it becomes a text, another
// piece, a list of pieces, or, in a tag, an attribute (name=), a property (.name=), an attribute that is there or
// not (?name=), or a listener (@name=). An attribute has one value and nothing else.

const compiled = new WeakMap();
const rendered = new WeakMap();

export const html = (strings, ...values) => ({ strings, values, svg: false });

// For what is inside of an <svg>.
export const svg = (strings, ...values) => ({ strings, values, svg: true });

// Names a piece of a list: elements follow their key when the list changes.
export const keyed = (key, piece) => ({ ...piece, key });

export function render(piece, element) {
  if (!rendered.has(element)) rendered.set(element, new Slot(element.appendChild(document.createComment(""))));
  rendered.get(element).set(piece);
}

// The template of a piece, and for each value where it goes: the number of its node, and the attribute's name.
function compile({ strings, svg: isSvg }) {
  if (compiled.has(strings)) return compiled.get(strings);
  let text = strings[0];
  const names = [];
  strings.slice(1).forEach((next, index) => {
    if (text.lastIndexOf("<") > text.lastIndexOf(">")) {
      const [all, name, quote] = /([@.?]?[\w:-]+)=("?)$/.exec(text);
      names.push(name);
      text = `${text.slice(0, -all.length)}value-${index}=${quote}${quote ? "" : '""'}`;
    } else {
      names.push(null);
      text += `<!--value-${index}-->`;
    }
    text += next;
  });
  const template = document.createElement("template");
  template.innerHTML = isSvg ? `<svg>${text}</svg>` : text.trim();
  if (isSvg) template.content.firstChild.replaceWith(...template.content.firstChild.childNodes);
  const places = [];
  nodesOf(template.content).forEach((node, number) => {
    if (node.nodeType === Node.COMMENT_NODE) {
      const index = /^value-(\d+)$/.exec(node.data)?.[1];
      if (index) places[index] = { number, name: null };
      return;
    }
    for (const { name } of [...node.attributes]) {
      const index = /^value-(\d+)$/.exec(name)?.[1];
      if (!index) continue;
      node.removeAttribute(name);
      places[index] = { number, name: names[index] };
    }
  });
  compiled.set(strings, { template, places });
  return compiled.get(strings);
}

function nodesOf(root) {
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_COMMENT);
  const found = [];
  while (walker.nextNode()) found.push(walker.currentNode);
  return found;
}

// A piece that is on the page.
class Instance {
  constructor(piece) {
    const { template, places } = compile(piece);
    this.strings = piece.strings;
    this.fragment = document.importNode(template.content, true);
    const nodes = nodesOf(this.fragment);
    this.parts = places.map(({ number, name }) =>
      name === null ? new Slot(nodes[number]) : new Attribute(nodes[number], name));
    this.set(piece);
  }

  set(piece) {
    // Properties last: the value of a <select> needs its options.
    piece.values.forEach((value, index) => this.parts[index].isProperty || this.parts[index].set(value));
    piece.values.forEach((value, index) => this.parts[index].isProperty && this.parts[index].set(value));
  }
}

class Attribute {
  constructor(node, name) {
    this.node = node;
    this.kind = "@.?".includes(name[0]) ? name[0] : "";
    this.name = this.kind ? name.slice(1) : name;
    this.isProperty = this.kind === ".";
    if (this.kind === "@") node.addEventListener(this.name, (event) => this.value?.call(node, event));
  }

  set(value) {
    // What one types changes a property without us. It stays while one is at it, unless another value is wanted.
    const isTyping = value === this.value && this.node === document.activeElement;
    if (this.isProperty && !isTyping && this.node[this.name] !== value) this.node[this.name] = value;
    if (value === this.value) return;
    this.value = value;
    if (this.kind === "?") this.node.toggleAttribute(this.name, Boolean(value));
    if (this.kind !== "") return;
    if (value === null || value === undefined || value === false) this.node.removeAttribute(this.name);
    else this.node.setAttribute(this.name, value);
  }
}

// A place between nodes, from a comment to another one, for a text, a piece, or a list.
class Slot {
  constructor(end) {
    this.end = end;
    this.start = document.createComment("");
    end.before(this.start);
  }

  set(value) {
    if (Array.isArray(value)) this.setList(value);
    else if (value?.strings) this.setPiece(value);
    else this.setText(value === null || value === undefined || value === false ? "" : String(value));
  }

  clear() {
    while (this.start.nextSibling !== this.end) this.start.nextSibling.remove();
    this.text = this.instance = this.items = undefined;
  }

  setText(text) {
    if (!this.text) {
      this.clear();
      this.end.before((this.text = document.createTextNode("")));
    }
    if (this.text.data !== text) this.text.data = text;
  }

  setPiece(piece) {
    if (this.instance?.strings === piece.strings) {
      this.instance.set(piece);
      return;
    }
    this.clear();
    this.instance = new Instance(piece);
    this.end.before(this.instance.fragment);
  }

  setList(pieces) {
    if (!this.items) {
      this.clear();
      this.items = new Map();
    }
    const old = this.items;
    this.items = new Map();
    const keys = pieces.map((piece, index) => piece?.key ?? index);
    // First: what follows a removed one need not move then, and keeps the focus.
    const wanted = new Set(keys);
    for (const [key, item] of old) if (!wanted.has(key)) item.remove();
    let last = this.start;
    pieces.forEach((piece, index) => {
      const key = keys[index];
      const item = old.get(key) ?? new Slot(this.end.parentNode.insertBefore(document.createComment(""), this.end));
      old.delete(key);
      this.items.set(key, item);
      if (last.nextSibling !== item.start) item.moveBehind(last);
      item.set(piece);
      last = item.end;
    });
  }

  moveBehind(node) {
    const range = [];
    for (let one = this.start; one !== this.end; one = one.nextSibling) range.push(one);
    node.after(...range, this.end);
  }

  remove() {
    this.clear();
    this.start.remove();
    this.end.remove();
  }
}
